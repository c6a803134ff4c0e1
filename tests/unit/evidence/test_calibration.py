"""How often the statistics are right where the truth is known: `benchmarks/calibration.py` in small."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from microtome.evidence import most_errors

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def calibration():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("calibration")
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize("draws", [19, 20])
@pytest.mark.parametrize("ties", [False, True])
def test_p_is_small_no_more_often_than_it_says_with_ties_and_without(calibration, draws, ties):
    p = np.array([calibration.true_p(draws, ties, seed) for seed in range(500)])
    for alpha in calibration.ALPHAS:
        reachable = np.floor(alpha * (draws + 1) + 1e-9) / (draws + 1)
        assert (p <= alpha).sum() <= most_errors(reachable, 500, 0.99)


@pytest.mark.parametrize("kind", ["mean", "ratio"])
@pytest.mark.parametrize(("name", "covers"), [("normal", 0.94), ("exponential", 0.93), ("log-normal", 0.90)])
def test_intervals_of_20_items_cover_as_often_as_is_recorded(calibration, kind, name, covers):
    held = sum(calibration.INTERVALS[kind](name, 20, seed) for seed in range(100))
    assert 100 - held <= most_errors(1 - covers, 100, 0.99)


@pytest.mark.parametrize("n", [1, 5, 20])
def test_the_exact_interval_of_a_share_covers_at_least_its_level(calibration, n):
    assert calibration.least_share_coverage(n, np.linspace(0.02, 0.98, 25)) >= 0.95


@pytest.mark.parametrize("correlation", [0.0, 0.5])
def test_the_share_of_false_discoveries_is_held_under_dependence_too(calibration, correlation):
    shares = np.array([calibration.false_share(80, 20, 0.1, correlation, seed) for seed in range(200)])
    assert shares.mean() <= 0.08 + 2 * shares.std() / np.sqrt(200)
