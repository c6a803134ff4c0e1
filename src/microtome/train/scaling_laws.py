"""Scaling laws: how a dictionary's loss falls with units, active units, tokens and compute, fitted to a sweep.

Fits are least squares of log losses, so that a small loss counts as much as a large one. What is fitted holds within
the sweep; `ScalingLaw.inside` says whether a point lies there.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import OptimizeWarning, curve_fit

from microtome.core.config import Config
from microtome.core.errors import CheckFailed, UnknownName, WrongUse

Columns = Mapping[str, Float[ndarray, "n"]]
STARTS = 8  # random starts beside the form's own; the best end is taken


@dataclass(frozen=True)
class SweepRow(Config):
    """One trained dictionary of a sweep.

    Attributes:
        units: of the dictionary.
        k: active units a token.
        tokens: trained on.
        compute: FLOPs of its training.
        loss: at the end, such as the share of variance that is not explained.
    """

    units: float | int
    k: float | int
    tokens: float | int
    compute: float | int
    loss: float | int


@dataclass(frozen=True)
class Form:
    """A formula for a loss.

    Attributes:
        name: what the user types.
        reads: columns of the sweep that it takes.
        parameters: names of what is fitted.
        start: where fitting begins.
        log_loss: log of the loss from columns and parameters.
        text: the formula.
        source: where it is from.
    """

    name: str
    reads: tuple[str, ...]
    parameters: tuple[str, ...]
    start: tuple[float, ...]
    log_loss: Callable[..., Float[ndarray, "n"]]
    text: str
    source: str


def _power(x: Float[ndarray, "n"], e: float, a: float, alpha: float) -> Float[ndarray, "n"]:
    """Log of exp(e) + exp(a) · x^−alpha."""
    return np.logaddexp(e, a - alpha * np.log(x))


def _units_and_k(n: Float[ndarray, "n"], k: Float[ndarray, "n"], *parameters: float) -> Float[ndarray, "n"]:
    a, b_k, b_n, g, z, e = parameters
    log_n, log_k = np.log(n), np.log(k)
    return np.logaddexp(a + b_k * log_k + b_n * log_n + g * log_k * log_n, z + e * log_k)


def _units_and_tokens(
    n: Float[ndarray, "n"], t: Float[ndarray, "n"], e: float, a: float, alpha: float, b: float, beta: float
) -> Float[ndarray, "n"]:
    return np.logaddexp(np.logaddexp(e, a - alpha * np.log(n)), b - beta * np.log(t))


_GAO = "Gao et al. 2024, arXiv:2406.04093, section 3"
_LAW = ("e", "a", "alpha"), (-2.0, 1.0, 0.3), _power
FORMS = {
    form.name: form
    for form in (
        Form("units", ("units",), *_LAW, "exp(e) + exp(a) · units^−alpha", f"{_GAO}, at convergence"),
        Form("tokens", ("tokens",), *_LAW, "exp(e) + exp(a) · tokens^−alpha", "the same form, for tokens"),
        Form("compute", ("compute",), *_LAW, "exp(e) + exp(a) · compute^−alpha", f"{_GAO}, of the best for each"),
        Form("units and k", ("units", "k"), ("a", "b_k", "b_n", "g", "z", "e"), (-0.5, 0.2, -0.05, -0.02, -1.5, -0.1),
             _units_and_k,
             "exp(a + b_k log k + b_n log units + g log k log units) + exp(z + e log k)", f"{_GAO}, at convergence"),
        Form("units and tokens", ("units", "tokens"), ("e", "a", "alpha", "b", "beta"), (-2.0, 1.0, 0.3, 1.0, 0.3),
             _units_and_tokens,
             "exp(e) + exp(a) · units^−alpha + exp(b) · tokens^−beta", "Hoffmann et al. 2022, arXiv:2203.15556"),
    )
}  # fmt: skip


@dataclass(frozen=True)
class ScalingLaw:
    """A form with its parameters.

    Attributes:
        form: the formula's name in `FORMS`.
        parameters: as fitted.
        errors: a standard error of each; infinite where the sweep does not tell it.
        ranges: of each column, the smallest and largest in the sweep.
        spread: the residuals' standard deviation, as a share of the loss.
        rows: the sweep.
    """

    form: str
    parameters: dict[str, float]
    errors: dict[str, float]
    ranges: dict[str, tuple[float, float]]
    spread: float
    rows: tuple[SweepRow, ...] = field(repr=False)

    def loss(self, **at: float | int) -> float:
        """The loss at a point, such as `law.loss(units=65536, k=32)`."""
        form = FORMS[self.form]
        for name in at:
            if name not in form.reads:
                raise UnknownName("column of this law", name, form.reads, do="give these alone")
        if lacking := [name for name in form.reads if name not in at]:
            raise WrongUse(f"read the law of {self.form}", found=f"no {', '.join(lacking)}", do="give every column")
        columns = [np.array([float(at[name])]) for name in form.reads]
        return float(np.exp(form.log_loss(*columns, *self.parameters.values()))[0])

    def inside(self, **at: float | int) -> bool:
        """Whether a point lies within the sweep; beyond it the law is a guess."""
        return all(low <= at[name] <= high for name, (low, high) in self.ranges.items())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; an error that the sweep does not tell is null."""
        return {
            "form": self.form,
            "formula": FORMS[self.form].text,
            "source": FORMS[self.form].source,
            "parameters": self.parameters,
            "errors": {name: error if np.isfinite(error) else None for name, error in self.errors.items()},
            "ranges": {name: list(ends) for name, ends in self.ranges.items()},
            "spread": self.spread,
            "rows": [row.to_dict() for row in self.rows],
        }


def fit(rows: Sequence[SweepRow], form: str = "units and k", *, seed: int = 0) -> ScalingLaw:
    """Fits a form to a sweep.

    Args:
        rows: the sweep. For `compute`, of each compute the best alone: see `frontier`.
        form: a name in `FORMS`.
        seed: of the starts from which fitting is tried.

    Raises:
        UnknownName: there is no such form.
        WrongUse: fewer rows than parameters and one more, a column that never changes, or a number not above zero.
        CheckFailed: no start led anywhere.
    """
    if form not in FORMS:
        raise UnknownName("scaling law", form, FORMS, do="choose one of these")
    chosen = FORMS[form]
    columns = {name: np.array([row.to_dict()[name] for row in rows], float) for name in (*chosen.reads, "loss")}
    _check(chosen, columns)
    y = np.log(columns["loss"])
    found = _best(chosen, [columns[name] for name in chosen.reads], y, np.random.default_rng(seed))
    if found is None:
        raise CheckFailed(
            f"fit the law of {form}",
            found=f"no end from {STARTS + 1} starts",
            do="widen the sweep, or take another form",
        )
    values, errors, residual = found
    return ScalingLaw(
        form,
        dict(zip(chosen.parameters, values.tolist(), strict=True)),
        dict(zip(chosen.parameters, errors.tolist(), strict=True)),
        {name: (float(columns[name].min()), float(columns[name].max())) for name in chosen.reads},
        float(residual),
        tuple(rows),
    )


def frontier(rows: Sequence[SweepRow]) -> list[SweepRow]:
    """The rows that no row of as little compute beats, by compute: what a compute is best spent on."""
    best: list[SweepRow] = []
    for row in sorted(rows, key=lambda one: (one.compute, one.loss)):
        if not best or row.loss < best[-1].loss:
            best.append(row)
    return best


def exponents(rows: Sequence[SweepRow]) -> dict[str, float]:
    """By which power of compute the best units and tokens grow along a frontier: slopes of straight lines in logs.

    Templeton et al. 2024, "Scaling Monosemanticity", found both to be powers, units growing faster.

    Raises:
        WrongUse: fewer than two of them, or one compute only.
    """
    best = frontier(rows)
    compute = np.log([row.compute for row in best])
    if len(best) < 2 or np.ptp(compute) == 0:
        raise WrongUse("find how units grow with compute", found=f"{len(best)} best rows", do="sweep several computes")
    return {
        name: float(np.polyfit(compute, np.log([row.to_dict()[name] for row in best]), 1)[0])
        for name in ("units", "tokens")
    }


def _check(form: Form, columns: Columns) -> None:
    n = len(columns["loss"])
    least = len(form.parameters) + 1
    what = f"fit the law of {form.name}"
    if n < least:
        raise WrongUse(what, found=f"{n} rows for {least - 1} parameters", do=f"sweep at least {least}")
    for name, values in columns.items():
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise WrongUse(what, found=f"{name} down to {values.min()}", do="give finite numbers above zero")
        if np.ptp(values) == 0:
            raise WrongUse(what, found=f"{name} = {values[0]:g} in every row", do="vary it in the sweep")


def _best(
    form: Form, reads: list[Float[ndarray, "n"]], y: Float[ndarray, "n"], random: np.random.Generator
) -> tuple[Float[ndarray, "p"], Float[ndarray, "p"], float] | None:
    """The fit with the least residual: parameters, standard errors, and the residuals' standard deviation."""
    start = np.array(form.start)
    best = None
    for scale in [0.0, *[0.5] * STARTS]:
        begin = start + scale * random.standard_normal(len(start))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)  # no covariance: errors come out infinite
                values, covariance = curve_fit(
                    lambda _, *p: form.log_loss(*reads, *p), np.arange(len(y)), y, begin, maxfev=20_000
                )
        except RuntimeError:  # scipy's word for a start that led nowhere
            continue
        left = y - form.log_loss(*reads, *values)
        spread = float(np.sqrt(left @ left / (len(y) - len(start))))
        if best is None or spread < best[2]:
            best = values, np.sqrt(np.diag(covariance)), spread
    return best
