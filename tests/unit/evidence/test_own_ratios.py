"""The difference of two ratios with denominators of their own, and how often its interval holds the truth."""

import numpy as np
import pytest

from microtome.core.errors import WrongUse
from microtome.evidence import difference_of_own_ratios, difference_of_ratios
from microtome.evidence.intervals import most_errors


def test_equal_denominators_give_the_paired_difference():
    rng = np.random.default_rng(0)
    a, b, below = rng.random(30), rng.random(30), 1 + rng.random(30)
    own, paired = difference_of_own_ratios(a, below, b, below), difference_of_ratios(a, b, below)
    assert own.value == pytest.approx(paired.value, abs=1e-12)
    assert own.interval == pytest.approx(paired.interval, abs=0.03)


def test_by_hand_and_documents_without_anything_found_do_no_harm():
    assert difference_of_own_ratios([1, 2], [2, 2], [1, 0], [4, 0]).value == pytest.approx(3 / 4 - 1 / 4)


@pytest.mark.parametrize("n", [5, 40])
def test_the_interval_holds_the_truth_as_often_as_it_says(n):
    rng, misses = np.random.default_rng(1), 0
    for _ in range(100):
        size = rng.integers(5, 30, n)
        other = rng.integers(5, 30, n)
        found = difference_of_own_ratios(rng.binomial(size, 0.6), size, rng.binomial(other, 0.4), other)
        low, high = found.interval
        misses += not low <= 0.2 <= high
    assert misses <= most_errors(0.08, 100)


def test_nothing_found_at_all_has_no_ratio():
    with pytest.raises(WrongUse, match="not above zero"):
        difference_of_own_ratios([1, 1], [1, 1], [0, 0], [0, 0])
    with pytest.raises(WrongUse, match="not above zero"):
        difference_of_own_ratios([1, 1], [1, 1], [1, 1], [-1, 3])
