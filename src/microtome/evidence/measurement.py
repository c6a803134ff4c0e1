"""A measurement: a number that may be offered as evidence, because its null stands beside it."""

from dataclasses import dataclass
from typing import ClassVar

from microtome.core.errors import WrongUse
from microtome.evidence.null import ROUNDING, Null
from microtome.evidence.record import Record, each, number, optional, pair, shown, shown_interval, text, whole

# A null is set against one value; this much may be lost on the way between two sums of the same.
AGREEMENT = 1e-6


@dataclass(frozen=True)
class Measurement(Record):
    """Value, interval, nulls, n, seed. There is none without a null.

    Attributes:
        name: what was measured, as it reads in a sentence (`faithfulness at 1,000 units`).
        value: the estimate.
        interval: (low, high) over independent items, or None (one item has none).
        level: of the interval, in (0, 1).
        nulls: what the same measurement gives where there is nothing to find; at least one.
        n: independent items behind the value, at least 1.
        seed: of every random choice, or None where there was none.
        measured_in: unit or description (`share of the logit difference`).
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    level: float
    nulls: tuple[Null, ...]
    n: int
    seed: int | None
    measured_in: str

    READS: ClassVar = {
        "name": text,
        "value": number,
        "interval": pair,
        "level": number,
        "nulls": each(Null.from_dict),
        "n": whole,
        "seed": optional(whole),
        "measured_in": text,
    }

    def __post_init__(self) -> None:
        if not self.nulls:
            raise self._refusal("evidence without a null", "give at least one Null, or make it a Quantity: no evidence")
        if len({null.higher_is_better for null in self.nulls}) > 1:
            raise self._refusal("nulls that disagree on which direction is better", "make them agree")
        if not (0 < self.level < 1 and self.n >= 1):
            raise self._refusal(f"level {self.level:g} and n={self.n}", "give 0 < level < 1 and n ≥ 1")
        for null in self.nulls:
            compared = null.mean + null.effect
            if abs(compared - self.value) > AGREEMENT * max(abs(null.mean), abs(self.value)):
                raise self._refusal(
                    f"a value of {self.value:g}, and a null {null.name!r} set against {compared:g}",
                    "set every null against this value, with Null.against",
                )
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise self._refusal(f"the interval {shown_interval(self.interval)}", "give (low, high)")

    def _refusal(self, found: str, do: str) -> WrongUse:
        return WrongUse(f"measure {self.name!r}", found=found, do=do)

    @property
    def null(self) -> Null:
        """The hardest null: where all have an interval, that of the lowest end; else of the smallest advantage.

        Not that of the largest p-value: a null of one draw never comes below 0.5, however easy it is.
        """
        ends = [null.advantage_interval[0] for null in self.nulls if null.advantage_interval is not None]
        if len(ends) == len(self.nulls):
            return self.nulls[ends.index(min(ends))]
        return min(self.nulls, key=lambda null: null.advantage)

    def beats(self, null: Null) -> bool:
        """Whether the value beats a null at this level: what every verdict and every report goes by.

        By the interval of the advantage, which has to lie wholly above zero; where there is none (one item has
        none), by the p-value, at most 1 − level. One draw alone has no p-value that could be small: then the
        value has to lie on the better side of it, which is a comparison and no test.
        """
        if null.advantage_interval is not None:
            return null.advantage_interval[0] > 0
        if len(null.draws) > 1:
            return null.p_value <= 1 - self.level + ROUNDING
        return null.advantage > 0

    def __str__(self) -> str:
        if self.interval is None:
            own = f"{self.name} {shown(self.value)} (no interval, n={self.n})"
        else:
            own = f"{self.name} {shown(self.value)} {shown_interval(self.interval)} ({100 * self.level:g}%, n={self.n})"
        hardest = self.null
        beside = hardest.advantage_interval
        over_items = "" if beside is None else f" {shown_interval(beside)}"
        one = " (one draw)" if len(hardest.draws) == 1 else ""
        return (
            f"{own}; hardest null: {hardest.name} {shown(hardest.mean)}, "
            f"advantage {shown(hardest.advantage)}{over_items}, p={hardest.p_value:.2g}{one}"
        )
