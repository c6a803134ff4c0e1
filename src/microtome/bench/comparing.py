"""Comparing two ways of making a dictionary: no ranking within what another seed alone would change."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import stats

from microtome.activations.store import ActivationStore
from microtome.bench.config import MeasureConfig
from microtome.bench.reconstructing import read
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import Null


@dataclass(frozen=True)
class Comparison:
    """Two ways of making a dictionary, each with several seeds.

    Attributes:
        a, b: the figure of every seed.
        difference: mean of a − mean of b, with Welch's interval over seeds and the null of reseeding.
        ranked: whether the interval leaves out zero.
        words: the verdict.
        p_value: Welch's, two-sided; of runs that agree to the last digit on both sides, the null's.
    """

    a: tuple[float, ...]
    b: tuple[float, ...]
    difference: Measurement
    ranked: bool
    words: str
    p_value: float


def compare(
    a: Sequence[Dictionary],
    b: Sequence[Dictionary],
    store: ActivationStore,
    *,
    config: MeasureConfig | None = None,
) -> Comparison:
    """Whether one way of making dictionaries explains more variance than another, on the same tokens.

    Seeds are the independent items here: a difference counts only where Welch's interval over them leaves out zero.
    Within it, another seed of the same recipe could have turned the order round.

    Args:
        a, b: dictionaries of each way, trained with different seeds; at least two of each.
        store: activations that none of them was trained on.
        config: see `MeasureConfig`.

    Raises:
        WrongUse: fewer than two seeds of a side, whose noise then nobody knows.
    """
    config = config or MeasureConfig()
    if min(len(a), len(b)) < 2:
        raise WrongUse(
            "rank two ways of making dictionaries", found=f"{len(a)} and {len(b)} training runs",
            do="train each with at least two seeds: one run each cannot tell a difference from the noise of reseeding",
        )  # fmt: skip
    figures = [[read(one, store, config).of_all["explained_variance"].value() for one in side] for side in (a, b)]
    return judged(*figures, level=config.level)


def judged(
    a: Sequence[float], b: Sequence[float], *, level: float = 0.95, name: str = "variance explained",
    more: str = "explains more variance",
) -> Comparison:  # fmt: skip
    """The verdict over figures of seeds, at least two of each side.

    The null's draws are differences between seeds of one side, in both directions, spread to the noise of a
    difference of means: √(1/n_a + 1/n_b) of a single run's, where a difference of two runs has √2.

    Args:
        a, b: a figure of every seed.
        level: of the interval.
        name: of the figure.
        more: what the side with the larger figure does, in words.

    Raises:
        WrongUse: fewer than two seeds of a side, whose noise then nobody knows.
    """
    if min(len(a), len(b)) < 2:
        raise WrongUse(
            "rank two ways of making dictionaries", found=f"{len(a)} and {len(b)} training runs",
            do="train each with at least two seeds: one run each cannot tell a difference from the noise of reseeding",
        )  # fmt: skip
    value = float(np.mean(a) - np.mean(b))
    pairs = [x - y for side in (a, b) for x, y in permutations(side, 2)]
    draws = np.asarray(pairs) * np.sqrt((1 / len(a) + 1 / len(b)) / 2)
    interval, p_value = _welch(a, b, level) if np.ptp(pairs) else ((value, value), None)
    null = Null.against("reseeding", value, draws, higher_is_better=value >= 0, effect_interval=interval)
    measured = Measurement(f"difference of {name}", value, interval, level, (null,), len(a) + len(b), None, "share")
    ranked = not interval[0] <= 0 <= interval[1]
    span = f"{value:+.4f} [{interval[0]:+.4f}, {interval[1]:+.4f}], {len(a)} and {len(b)} seeds"
    words = (
        f"The {'first' if value > 0 else 'second'} {more} ({span})."
        if ranked
        else f"Not ranked: the difference lies within the noise of reseeding ({span})."
    )
    return Comparison(tuple(a), tuple(b), measured, ranked, words, null.p_value if p_value is None else p_value)


def _welch(a: Sequence[float], b: Sequence[float], level: float) -> tuple[tuple[float, float], float]:
    with warnings.catch_warnings():  # scipy warns where one side's seeds agree to the last digits; the other's differ
        warnings.simplefilter("ignore", RuntimeWarning)
        tested = stats.ttest_ind(a, b, equal_var=False)
        found = tested.confidence_interval(level)
    p_value = float(tested.pvalue)  # pyright: ignore[reportAttributeAccessIssue] - no stubs
    return (float(found.low), float(found.high)), max(p_value, float(np.finfo(float).tiny))
