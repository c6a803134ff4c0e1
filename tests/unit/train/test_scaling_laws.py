"""Scaling laws find what was planted, and say what a sweep does not tell."""

import math

import numpy as np
import pytest

from microtome.core.errors import UnknownName, WrongUse
from microtome.train.scaling_laws import FORMS, SweepRow, exponents, fit, frontier

# As printed for GPT-4 by Gao et al. 2024: a, b_k, b_n, g, z, e.
GPT4 = {"a": -0.50, "b_k": 0.26, "b_n": -0.017, "g": -0.042, "z": -1.32, "e": -0.085}
PLANTED = {
    "units": {"e": -1.8, "a": 1.2, "alpha": 0.35},
    "tokens": {"e": -2.2, "a": 3.0, "alpha": 0.25},
    "compute": {"e": -1.5, "a": 4.0, "alpha": 0.15},
    "units and k": GPT4,
    "units and tokens": {"e": -1.7, "a": 1.0, "alpha": 0.4, "b": 2.5, "beta": 0.3},
}


def sweep(form: str, noise: float = 0.0) -> list[SweepRow]:
    random, rows = np.random.default_rng(0), []
    for units in 2.0 ** np.arange(11, 23, 2):
        for k in (8.0, 32.0, 128.0, 512.0):
            tokens = units * 200 * k**0.5
            point = {"units": units, "k": k, "tokens": tokens, "compute": 6e3 * units * tokens}
            columns = [np.array([point[name]]) for name in FORMS[form].reads]
            log_loss = float(FORMS[form].log_loss(*columns, *PLANTED[form].values())[0])
            rows.append(SweepRow(**point, loss=math.exp(log_loss + noise * random.standard_normal())))
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_what_was_planted_is_found(form):
    law = fit(sweep(form), form)
    for name, value in PLANTED[form].items():
        assert law.parameters[name] == pytest.approx(value, rel=0.01, abs=1e-3), name
    assert law.spread < 1e-4


@pytest.mark.parametrize("form", FORMS)
def test_noise_moves_the_law_by_its_errors(form):
    law = fit(sweep(form, noise=0.01), form)
    assert 0.005 < law.spread < 0.015
    off = [abs(law.parameters[name] - value) / law.errors[name] for name, value in PLANTED[form].items()]
    assert max(off) < 4


def test_gpt4s_law_gives_its_loss():
    """exp(−0.5 + 0.26 ln 32 − 0.017 ln 2²⁰ − 0.042 ln 32 ln 2²⁰) + exp(−1.32 − 0.085 ln 32), worked out by hand."""
    law = fit(sweep("units and k"), "units and k")
    n, k = 20 * math.log(2), 5 * math.log(2)
    expected = math.exp(-0.5 + 0.26 * k - 0.017 * n - 0.042 * n * k) + math.exp(-1.32 - 0.085 * k)
    assert law.loss(units=2**20, k=32) == pytest.approx(expected, rel=1e-3)
    assert law.inside(units=2**20, k=32)
    assert not law.inside(units=2**25, k=32)


def test_the_frontier_is_what_nobody_beats():
    rows = [
        SweepRow(10.0 * c, 8, 100.0 * c**0.5, float(c), loss) for c, loss in ((1, 3), (2, 4), (3, 2), (4, 2.5), (9, 1))
    ]
    assert [row.compute for row in frontier(rows)] == [1, 3, 9]
    found = exponents(rows)
    assert found["units"] == pytest.approx(1.0)
    assert found["tokens"] == pytest.approx(0.5)


def test_what_cannot_be_fitted_is_refused():
    rows = sweep("units")
    with pytest.raises(WrongUse, match="3 rows for 3 parameters"):
        fit(rows[:3], "units")
    with pytest.raises(WrongUse, match="in every row"):
        fit([SweepRow(1024, 8, 1, 1, 1 + i) for i in range(5)], "units")
    with pytest.raises(WrongUse, match="loss down to -1"):
        fit([*rows, SweepRow(1, 1, 1, 1, -1)], "units")
    with pytest.raises(UnknownName, match="units and k"):
        fit(rows, "units and")
    law = fit(rows, "units")
    with pytest.raises(WrongUse, match="no units"):
        law.loss()
    with pytest.raises(UnknownName, match="unit"):
        law.loss(unit=3)
