"""A null: what the same measurement gives where there is nothing to find."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from microtome.core.errors import WrongUse
from microtome.evidence.items import denominators_of, table_of
from microtome.evidence.record import Record, each, flag, number, pair, text

# Draws that equal the value up to rounding count as equal: sums taken in another order differ in the
# last bits, and a tie lost to rounding would make the p-value too small.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Null(Record):
    """Draws of a null, and how a value stands against them. Made by `Null.against`.

        p = (1 + draws at least as good) / (1 + draws)        effect = value - mean of the draws

    The value itself counts as one draw, so p is never zero and never below 1 / (1 + draws); under a
    true null p ≤ α happens at most a share α of the time. A null of one draw has p of 0.5 at best.
    When a null is beaten: `Measurement.beats`.

    Attributes:
        name: what was drawn (`matched sets`, `change`, …).
        draws: the measurement on each draw, in the measurement's own unit.
        p_value: in [1 / (1 + draws), 1].
        effect: value − mean of the draws, whichever direction is better.
        advantage_interval: an interval of `advantage` over items, or None where there is none.
        higher_is_better: the direction of the measurement.
    """

    name: str
    draws: tuple[float, ...]
    p_value: float
    effect: float
    advantage_interval: tuple[float, float] | None = None
    higher_is_better: bool = True

    READS: ClassVar = {
        "name": text,
        "draws": each(number),
        "p_value": number,
        "effect": number,
        "advantage_interval": pair,
        "higher_is_better": flag,
    }

    def __post_init__(self) -> None:
        if not self.draws:
            raise WrongUse(f"make the null {self.name!r}", found="a null without draws", do="give at least one draw")
        smallest = 1 / (1 + len(self.draws))
        if not smallest - ROUNDING <= self.p_value <= 1:
            raise WrongUse(
                f"make the null {self.name!r}",
                found=f"p={self.p_value:g} of {len(self.draws)} draws, which lies outside [{smallest:.3g}, 1]",
                do="make it with Null.against, which counts the value as one of the draws",
            )

    @classmethod
    def against(
        cls,
        name: str,
        value: float,
        draws: Sequence[float] | np.ndarray,
        higher_is_better: bool = True,
        effect_interval: tuple[float, float] | None = None,
    ) -> "Null":
        """Sets a value against draws of its null.

        Args:
            name: what was drawn.
            value: the measurement.
            draws: the same measurement on each draw.
            higher_is_better: False where a good value is low (what is left after an ablation).
            effect_interval: an interval of value − null over items, such as
                `difference_of_ratios(value's numerators, null's numerators, …).interval`; it is
                turned round here where lower is better.

        Raises:
            WrongUse: there are no draws, or the value or a draw is not a finite number. (A NaN
                compares false with everything and would score the smallest p-value there is.)
        """
        drawn = np.asarray(draws, dtype=np.float64).reshape(-1)
        bad = int((~np.isfinite(drawn)).sum())
        if bad or not math.isfinite(value):
            raise WrongUse(
                f"set a value against the null {name!r}",
                found=f"the value {float(value):g}, and {bad} of {drawn.size} draws that are not finite",
                do="leave out, and count, the items on which the measurement is undefined",
            )
        if not drawn.size:
            return cls(name, (), 1.0, 0.0)  # raises, with the message for it
        gain = drawn - value if higher_is_better else value - drawn
        slack = ROUNDING * max(abs(value), float(np.abs(drawn).max()))
        p_value = (1 + int((gain >= -slack).sum())) / (1 + drawn.size)
        turned = effect_interval
        if effect_interval is not None and not higher_is_better:
            turned = (-effect_interval[1], -effect_interval[0])
        return cls(
            name=name,
            draws=tuple(drawn.tolist()),
            p_value=p_value,
            effect=float(value - drawn.mean()),
            advantage_interval=turned,
            higher_is_better=higher_is_better,
        )

    @property
    def mean(self) -> float:
        """Mean of the draws."""
        return float(np.mean(self.draws))

    @property
    def advantage(self) -> float:
        """The effect in the good direction: above zero where the value is better than the null."""
        return self.effect if self.higher_is_better else -self.effect


def null_of_the_mean(
    null_numerators: np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    repeats: int = 2000,
    seed: int = 0,
) -> Float[np.ndarray, " repeats"]:
    """Draws of a ratio of sums under the null: one null for each item, many times over.

        draw = Σ_i num[i, pick_i] / Σ_i den_i        pick_i uniform over the nulls of item i

    The k nulls of an item only estimate its null's mean, and vary about their own mean by less than
    a fresh null would. So each is first spread about that mean by √((k + 1) / (k − 1)), the ratio of
    the two standard deviations. Without it p-values are too small: at a nominal 5%, 30 items and
    normal draws, p ≤ 0.05 came out in 17% of true nulls for k = 2, 9% for k = 5, 5.0% for k = 20;
    with it in 6%, 5% and 4%. Few and skewed draws remain a little too bold (7% for k = 2).

    One null an item can be taken in one way only; then one draw is returned, however many `repeats`
    are asked for, since copies of it would pass for evidence.

    Args:
        null_numerators: the measurement's numerator on each null of each item, [items, nulls].
        denominators: of each item, all above zero, [items].
        repeats: how many draws.
        seed: of the picks.

    Raises:
        WrongUse: shapes that do not fit, numbers that are not finite, denominators not above zero.
    """
    table = table_of("null numerators", null_numerators)
    below = denominators_of(denominators, n=table.shape[0])
    n_items, n_nulls = table.shape
    if n_nulls == 1:
        return table.sum(axis=0) / below.sum()
    centre = table.mean(axis=1, keepdims=True)
    spread = centre + (table - centre) * math.sqrt((n_nulls + 1) / (n_nulls - 1))
    picks = np.random.default_rng(seed).integers(n_nulls, size=(repeats, n_items))
    return spread[np.arange(n_items), picks].sum(axis=1) / below.sum()
