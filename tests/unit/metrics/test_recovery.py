"""Recovery of planted features, by values worked out by hand."""

import math

import pytest
import torch

from microtome.core.errors import WrongUse
from microtome.metrics.recovery import FalseUnits, MatchedCosine, RecoveredFraction, SplitFraction

TRUTH = torch.eye(3, 4)
HALF = math.sqrt(0.5)
# The first feature and twice its length; a mixture of the first two; something else.
UNITS = torch.tensor([[3.0, 0, 0, 0], [1, 0.1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]])


def value(metric, truth=TRUTH, units=UNITS):
    metric.add(truth, units)
    return metric.value()


def test_each_unit_answers_for_one_feature():
    # 1 for the first, √½ for the second by the mixture, 0 for the third: the mean of largest cosines would be no other
    # here, but with the mixture alone it would count it twice.
    assert value(MatchedCosine()) == pytest.approx((1 + HALF + 0) / 3)
    assert value(MatchedCosine(), units=UNITS[2:3]) == pytest.approx(HALF / 3)
    assert value(MatchedCosine(), units=-TRUTH) <= 0


def test_a_feature_is_recovered_by_a_unit_of_its_own():
    assert value(RecoveredFraction()) == pytest.approx(1 / 3)
    assert value(RecoveredFraction(0.7)) == pytest.approx(2 / 3)
    assert value(RecoveredFraction(), units=TRUTH.flip(0) * 5) == 1.0


def test_a_unit_along_no_feature_is_false():
    assert value(FalseUnits()) == 0.25  # the mixture's cosine is √½, just above 0.7
    assert value(FalseUnits(0.8)) == 0.5
    assert value(FalseUnits(), units=-TRUTH) == 1.0


def test_a_feature_with_two_units_along_it_is_split():
    assert value(SplitFraction()) == pytest.approx(1 / 3)
    assert value(SplitFraction(), units=UNITS[1:]) == 0.0


def test_dictionaries_are_added_up_by_their_features():
    metric = RecoveredFraction()
    metric.add(TRUTH, UNITS)
    metric.add(TRUTH[:1], UNITS)
    assert metric.value() == 0.5
    assert metric.per_item().numerators.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize("cls", [RecoveredFraction, FalseUnits, SplitFraction])
def test_a_cosine_out_of_range_is_refused(cls):
    with pytest.raises(WrongUse, match="cosine of 1"):
        cls(1.0)


def test_nothing_at_all_is_refused():
    with pytest.raises(WrongUse, match="no units were added"):
        MatchedCosine().value()
