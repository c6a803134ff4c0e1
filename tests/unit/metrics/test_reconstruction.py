"""Cosine, relative norm, shrinkage and squared error, on reconstructions whose figures are known.

Activations have uneven norms and a reconstruction is both too short and turned, so that a mean of ratios and a ratio
of means, or a sum over d and a mean over d, cannot be mistaken for one another.
"""

import math

import pytest
import torch

from microtome.core.errors import WrongUse
from microtome.metrics.cosine import Cosine
from microtome.metrics.relative_norm import RelativeNorm
from microtome.metrics.shrinkage import Shrinkage
from microtome.metrics.squared_error import MeanSquaredError

X = torch.tensor([[3.0, 4.0], [10.0, 0.0]])
X_HAT = torch.tensor([[3.0, 0.0], [2.0, 2.0]])
# By hand: x·x̂ 9, 20; ‖x‖ 5, 10; ‖x̂‖ 3, √8; ‖x − x̂‖² 16, 68.
BY_HAND = {
    Cosine: (9 / 15 + 20 / (10 * math.sqrt(8))) / 2,
    RelativeNorm: (3 / 5 + math.sqrt(8) / 10) / 2,
    Shrinkage: (9 + 8) / (9 + 20),
    MeanSquaredError: (16 + 68) / 2,
}


def score(metric, x=X, x_hat=X_HAT):
    accumulator = metric()
    accumulator.add(x, x_hat)
    return accumulator.value()


@pytest.mark.parametrize("metric", BY_HAND, ids=lambda metric: metric.name)
def test_matches_the_number_worked_out_by_hand(metric):
    assert score(metric) == pytest.approx(BY_HAND[metric], rel=1e-12)


@pytest.mark.parametrize("metric", BY_HAND, ids=lambda metric: metric.name)
def test_a_perfect_reconstruction_scores_the_best(metric):
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) + 3
    assert score(metric, x, x) == pytest.approx(metric.best, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1000.0])
@pytest.mark.parametrize("metric", BY_HAND, ids=lambda metric: metric.name)
def test_units_cancel_in_all_but_the_squared_error(metric, scale):
    expected = BY_HAND[metric] * (scale**2 if metric is MeanSquaredError else 1)
    assert score(metric, X * scale, X_HAT * scale) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "metric, wrong",
    [
        (Cosine, lambda x, y: (x * y).sum() / x.norm() / y.norm()),
        (RelativeNorm, lambda x, y: y.norm(dim=1).mean() / x.norm(dim=1).mean()),
        (RelativeNorm, lambda x, y: (y.square().sum(1) / x.square().sum(1)).mean()),
        (Shrinkage, lambda x, y: (x * y).sum() / y.square().sum()),
        (Shrinkage, lambda x, y: (x * y).sum() / x.square().sum()),
        (Shrinkage, lambda x, y: (y.square().sum(1) / (x * y).sum(1)).mean()),
        (MeanSquaredError, lambda x, y: (x - y).square().mean()),
        (MeanSquaredError, lambda x, y: (x - y).square().sum()),
        (MeanSquaredError, lambda x, y: (x - y).norm(dim=1).mean()),
    ],
    ids=[
        "cosine-of-all", "ratio-of-means", "ratio-of-squares", "upside-down", "over-x", "mean-of-ratios",
        "mean-over-d", "sum-over-tokens", "not-squared",
    ],
)  # fmt: skip
def test_this_file_would_catch_the_formulas_people_get_wrong(metric, wrong):
    assert not math.isclose(wrong(X, X_HAT).item(), BY_HAND[metric], rel_tol=0.01)


def test_shrinkage_is_the_factor_that_fits_best():
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(200, 5, generator=draw)
    x_hat = 0.6 * x + 0.2 * torch.randn(200, 5, generator=draw)
    gamma = score(Shrinkage, x, x_hat)
    errors = [(x_hat / c - x).square().sum().item() for c in (gamma - 0.01, gamma, gamma + 0.01)]
    assert errors[1] == min(errors)
    assert score(Shrinkage, x, x_hat / gamma) == pytest.approx(1, rel=1e-6)


def test_halving_a_perfect_reconstruction_shows_as_shrinkage_and_not_in_the_cosine():
    assert score(Shrinkage, X, X / 2) == pytest.approx(0.5)
    assert score(RelativeNorm, X, X / 2) == pytest.approx(0.5)
    assert score(Cosine, X, X / 2) == pytest.approx(1.0)


def test_a_reconstruction_of_zero_has_a_cosine_of_zero():
    assert score(Cosine, X, torch.zeros_like(X)) == 0.0


@pytest.mark.parametrize("metric", [Cosine, RelativeNorm], ids=lambda metric: metric.name)
def test_activations_of_zero_are_refused_not_scored(metric):
    with pytest.raises(WrongUse) as error:
        metric().add(torch.tensor([[0.0, 0.0], [1.0, 0.0]]), X_HAT)
    assert error.value.found == "1 of 2 activations are zero, and have no direction and no relative size"


def test_reconstructions_that_point_away_have_no_shrinkage():
    with pytest.raises(WrongUse) as error:
        score(Shrinkage, X, -X)
    assert error.value.found == "a sum of x · x̂ of -125, which is not above zero"
