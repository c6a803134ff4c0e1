"""Cross-entropy recovered and added, on losses of three passes that can be worked out by hand.

Documents differ in length and in what an ablation costs them, and one token is made worse by nothing: a mean of
ratios over tokens or over documents is another number.
"""

import math

import pytest
import torch

from microtome.core.errors import WrongUse
from microtome.evidence import ratio_of_sums
from microtome.metrics.cross_entropy import (
    CrossEntropyAdded,
    CrossEntropyRecoveredMean,
    CrossEntropyRecoveredZero,
)
from unchecked import unchecked

ORIGINAL = torch.tensor([2.0, 3.0, 1.0, 4.0])
RECONSTRUCTED = torch.tensor([2.5, 3.0, 2.0, 4.1])
ABLATED = torch.tensor([12.0, 5.0, 1.5, 4.4])
DOCUMENTS = torch.tensor([0, 0, 0, 1])
EXPECTED = (22.9 - 11.6) / (22.9 - 10.0)
RECOVERED = [CrossEntropyRecoveredZero, CrossEntropyRecoveredMean]


def recovered(metric, *losses, items=None):
    accumulator = metric()
    accumulator.add(*losses, items=items)
    return accumulator


@pytest.mark.parametrize("metric", RECOVERED, ids=lambda metric: metric.name)
def test_matches_the_number_worked_out_by_hand(metric):
    found = recovered(metric, ORIGINAL, RECONSTRUCTED, ABLATED, items=DOCUMENTS)
    assert found.value() == pytest.approx(EXPECTED, rel=1e-6)
    _, above, below = found.per_item()
    assert (above.tolist(), below.tolist()) == (
        pytest.approx([11.0, 0.3], rel=1e-5),
        pytest.approx([12.5, 0.4], rel=1e-5),
    )
    assert ratio_of_sums(above, below).value == pytest.approx(EXPECTED, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda o, r, a: ((a - r) / (a - o)).mean(),
        lambda o, r, a: 1 - (r.mean() - o.mean()) / a.mean(),
        lambda o, r, a: (r.mean() - o.mean()) / (a.mean() - o.mean()),
        lambda o, r, a: o.mean() / r.mean(),
        lambda o, r, a: ((a - r)[:3].mean() / (a - o)[:3].mean() + (a - r)[3] / (a - o)[3]) / 2,
    ],
    ids=["mean-of-ratios", "over-the-ablated", "what-is-lost", "original-over-spliced", "mean-over-documents"],
)
def test_this_file_would_catch_the_formulas_people_get_wrong(wrong):
    assert not math.isclose(wrong(ORIGINAL, RECONSTRUCTED, ABLATED).item(), EXPECTED, abs_tol=0.005)


@pytest.mark.parametrize("chunk", [1, 77, 1000])
@pytest.mark.parametrize("metric", RECOVERED, ids=lambda metric: metric.name)
def test_identity_scores_one_exactly_and_the_ablation_zero_exactly(metric, chunk):
    draw = torch.Generator().manual_seed(0)
    original = torch.rand(1000, generator=draw) * 5
    ablated = original + torch.randn(1000, generator=draw) + 0.1
    same, worst = metric(), metric()
    for rows in torch.arange(1000).split(chunk):
        same.add(original[rows], original[rows], ablated[rows], items=rows // 100)
        worst.add(original[rows], ablated[rows], ablated[rows], items=rows // 100)
    assert (same.value(), worst.value()) == (1.0, 0.0)


def test_added_is_in_nats_a_token_and_sees_what_the_share_hides():
    added = CrossEntropyAdded()
    added.add(ORIGINAL, RECONSTRUCTED, items=DOCUMENTS)
    assert added.value() == pytest.approx(0.4, rel=1e-6)
    assert added.per_item().denominators.tolist() == [3, 1]
    share = recovered(CrossEntropyRecoveredZero, ORIGINAL, ORIGINAL + 0.1, ORIGINAL + 12)
    assert share.value() > 0.99


@pytest.mark.parametrize("metric", RECOVERED, ids=lambda metric: metric.name)
@pytest.mark.parametrize("gain, total", [(0.0, "0"), (0.5, "-2")], ids=["does-nothing", "helps"])
def test_an_ablation_without_harm_leaves_nothing_to_recover(metric, gain, total):
    with pytest.raises(WrongUse) as error:
        recovered(metric, ORIGINAL, ORIGINAL, ORIGINAL - gain).value()
    assert error.value.what == f"take the value of {metric.name}"
    assert error.value.found == (
        f"a loss that the ablation adds, summed over tokens, of {total}, which is not above zero"
    )


def test_an_infinite_loss_is_not_swallowed():
    with pytest.raises(WrongUse, match="sums that are not finite"):
        recovered(CrossEntropyRecoveredZero, ORIGINAL, RECONSTRUCTED, ABLATED * math.inf).value()


def test_losses_of_other_tokens_are_refused():
    with unchecked(), pytest.raises(WrongUse) as error:
        CrossEntropyRecoveredZero().add(ORIGINAL, RECONSTRUCTED[:1], ABLATED)
    assert error.value.found == "losses of shapes [4], [1], [4]"
