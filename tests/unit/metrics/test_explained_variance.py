"""Explained variance, held to a number that can be worked out by hand.

The data sit far from zero, with a mean that differs between dimensions and between documents, and the reconstruction
is poor and biased, on purpose: a perfect one scores 1 under every formula with the error on top, and data around zero
hide a forgotten mean.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import WrongUse
from microtome.evidence import ratio_of_sums
from microtome.metrics.explained_variance import ExplainedVariance
from unchecked import unchecked

steady = settings(derandomize=True, max_examples=40)

SD, ERROR_SD, BIAS, TOKENS, D, DOCUMENTS = 10.0, 4.0, 3.0, 4000, 64, 20
EXPECTED = 1 - (ERROR_SD**2 + BIAS**2) / SD**2  # 0.75


@pytest.fixture(scope="module")
def data():
    draw = torch.Generator().manual_seed(0)
    mean = torch.linspace(-30.0, 90.0, D)
    x = mean + SD * torch.randn(TOKENS, D, generator=draw)
    return x, x + BIAS + ERROR_SD * torch.randn(TOKENS, D, generator=draw)


DOCUMENT = torch.arange(TOKENS) * DOCUMENTS // TOKENS


def score(x, x_hat, chunk=TOKENS):
    metric = ExplainedVariance()
    for start in range(0, len(x), chunk):
        metric.add(x[start : start + chunk], x_hat[start : start + chunk])
    return metric.value()


def test_matches_the_number_worked_out_by_hand(data):
    assert score(*data) == pytest.approx(EXPECTED, abs=0.005)


def test_four_numbers_by_hand():
    # mean (1, 0), variance 1 + 1, errors 1/4 + 1/4
    x, x_hat = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.5, 0.0], [1.5, 0.0]])
    assert score(x, x_hat) == 0.75


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_does_not_depend_on_batching(data, chunk):
    assert score(*data, chunk=chunk) == pytest.approx(score(*data), rel=1e-12)


@steady
@given(cuts=st.lists(st.integers(0, 50), max_size=6), seed=st.integers(0, 100))
def test_neither_the_cuts_nor_the_order_matter(cuts, seed):
    draw = torch.Generator().manual_seed(seed)
    x = 1000 + torch.randn(50, 3, generator=draw)
    x_hat = x + 0.3 * torch.randn(50, 3, generator=draw)
    order = torch.randperm(50, generator=draw)
    metric = ExplainedVariance()
    edges = [0, *sorted(cuts), 50]
    for start, end in pairwise(edges):
        metric.add(x[order[start:end]], x_hat[order[start:end]])
    assert metric.value() == pytest.approx(score(x, x_hat), rel=1e-9)


@pytest.mark.parametrize("scale, shift", [(1e-3, 0.0), (100.0, 0.0), (1.0, 500.0), (-1.0, 0.0)])
def test_does_not_depend_on_units_or_origin(data, scale, shift):
    x, x_hat = (t * scale + shift for t in data)
    assert score(x, x_hat) == pytest.approx(score(*data), abs=1e-5)


def test_a_mean_a_million_times_the_deviation_costs_no_digits():
    draw = torch.Generator().manual_seed(1)
    x = 2.0**23 + torch.randint(-4, 5, (1000, 4), generator=draw).float()  # whole numbers: float32 holds them
    x_hat = x + torch.randint(-1, 2, (1000, 4), generator=draw)
    small, small_hat = x - 2.0**23, x_hat - 2.0**23
    assert score(x, x_hat) == pytest.approx(score(small, small_hat), rel=1e-12)


def test_predicting_the_mean_scores_zero_and_perfection_one(data):
    x, _ = data
    assert score(x, x.double().mean(0).expand_as(x)) == pytest.approx(0, abs=1e-9)
    assert score(x, x) == 1.0


def test_the_mean_is_global_and_not_that_of_a_batch():
    x = torch.tensor([[0.0], [0.0], [10.0], [10.0]])
    assert score(x, torch.full_like(x, 5.0), chunk=2) == 0.0  # within a batch nothing varies


def test_half_precision_in_is_float64_inside():
    x = torch.full((4096, 2), 256.0)
    x[::2] = 258.0
    x_hat = x + 0.5  # lost when sums are kept in bf16
    assert score(x.bfloat16(), x_hat.half()) == pytest.approx(1 - 0.25, abs=1e-12)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x, e: 1 - e.square().sum(1).mean() / (x.square().sum(1).mean() - x.square().mean() ** 2),
        lambda x, e: 1 - e.square().sum(1).mean() / x.square().sum(1).mean(),
        lambda x, e: 1 - e.square().sum(1).mean() / x.var(0).mean(),
        lambda x, e: 1 - e.square().sum(1).mean() / (x - x.mean()).square().sum(1).mean(),
        lambda x, e: 1 - e.var(0).sum() / x.var(0).sum(),
        lambda x, e: (1 - e.square().sum(1) / (x - x.mean(0)).square().sum(1)).mean(),
    ],
    ids=[
        "squares-the-second-moment",
        "forgets-the-mean",
        "means-over-dimensions",
        "one-mean-for-all-dimensions",
        "forgives-a-constant-error",
        "mean-of-ratios",
    ],
)
def test_this_file_would_catch_the_formulas_people_get_wrong(data, wrong):
    x, x_hat = data
    mistaken = wrong(x, x - x_hat).item()
    assert not math.isclose(mistaken, EXPECTED, abs_tol=0.005)


def test_documents_add_up_to_the_value(data):
    x, x_hat = data
    metric = ExplainedVariance()
    for rows in torch.randperm(TOKENS, generator=torch.Generator().manual_seed(2)).split(700):  # across documents
        metric.add(x[rows], x_hat[rows], items=DOCUMENT[rows])
    items, above, below = metric.per_item()
    value, interval = ratio_of_sums(above, below)
    assert items.tolist() == list(range(DOCUMENTS))
    assert value == pytest.approx(metric.value(), rel=1e-12)
    assert interval[0] < value < interval[1]
    assert interval[1] - interval[0] < 0.02


def test_a_documents_part_is_about_the_global_mean():
    x = torch.tensor([[0.0], [0.0], [10.0], [12.0]])  # mean 5.5
    metric = ExplainedVariance()
    metric.add(x, x + 1, items=torch.tensor([7, 7, 3, 3]))
    items, above, below = metric.per_item()
    assert items.tolist() == [3, 7]
    assert below == pytest.approx([4.5**2 + 6.5**2, 2 * 5.5**2])
    assert above == pytest.approx(below - 2)


def test_a_batch_of_no_tokens_changes_nothing(data):
    x, x_hat = data
    metric = ExplainedVariance()
    metric.add(x[:0], x_hat[:0])
    metric.add(x, x_hat)
    metric.add(x[:0], x_hat[:0])
    assert metric.value() == score(x, x_hat)


@pytest.mark.parametrize(
    "x, found",
    [
        (torch.zeros(0, 3), "a variance of 0, which is not above zero"),
        (torch.full((5, 3), 0.1), "a variance of 0, which is not above zero"),
        (torch.full((5, 3), math.nan), "sums that are not finite: nan over nan"),
    ],
    ids=["nothing", "no-variance", "nan"],
)
def test_what_has_no_value_says_why(x, found):
    metric = ExplainedVariance()
    metric.add(x, torch.zeros_like(x))
    with pytest.raises(WrongUse) as error:
        metric.value()
    assert (error.value.what, error.value.found) == ("take the value of explained_variance", found)


def test_a_reconstruction_is_never_broadcast(data):
    x, _ = data
    with unchecked(), pytest.raises(WrongUse) as error:
        ExplainedVariance().add(x, x.mean(0, keepdim=True))
    assert error.value.found == "activations of shape [4000, 64], a reconstruction of shape [1, 64]"


def test_without_documents_there_are_no_parts(data):
    metric = ExplainedVariance()
    metric.add(*data, items=DOCUMENT)
    metric.add(*data)
    with pytest.raises(WrongUse, match="tokens that were added without their item"):
        metric.per_item()


@pytest.mark.parametrize("items", [torch.tensor([0, -1]), torch.tensor([0])], ids=["negative", "too-few"])
def test_items_that_do_not_fit_are_refused(items):
    with unchecked(), pytest.raises(WrongUse, match="say which item each token belongs to"):
        ExplainedVariance().add(torch.eye(2), torch.eye(2), items=items)


def test_gradients_are_neither_needed_nor_kept(data):
    x, x_hat = data
    assert score(x, x_hat.clone().requires_grad_()) == score(x, x_hat)
    assert isinstance(score(x, x_hat), float)
    assert np.isfinite(score(x, x_hat))
