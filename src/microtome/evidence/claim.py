"""A claim as it is stated before it is measured, and what one measurement makes of it."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from microtome.core import fingerprint
from microtome.core.counting import counted
from microtome.core.errors import WrongUse
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import ROUNDING, Null
from microtome.evidence.record import Record, number, optional, shown, shown_interval, text, whole

State = Literal["open", "supported", "contradicted", "cannot be told"]


class Told(NamedTuple):
    """What became of a claim, and why in words."""

    state: State
    why: str


@dataclass(frozen=True)
class Statement(Record):
    """A claim in words, and the prediction that it is tested by.

    Attributes:
        says: the claim, as a sentence.
        measurement: the name of what will be measured, such as `faithfulness at 100 units`.
        at_least, at_most: bounds that the value must keep to, or None. A measurement has to beat its nulls too,
            unless the bound is on its bad side alone: then the claim is that there is little to find.
        items: the least number of independent items (prompts, documents) that can decide it.
    """

    says: str
    measurement: str
    at_least: float | None = None
    at_most: float | None = None
    items: int = 1

    READS: ClassVar = {
        "says": text,
        "measurement": text,
        "at_least": optional(number),
        "at_most": optional(number),
        "items": whole,
    }

    def __post_init__(self) -> None:
        low, high = self.bounds
        if not low <= high:
            found = f"at_least={self.at_least} and at_most={self.at_most}"
            raise WrongUse(f"state that {self.says!r}", found=found, do="give bounds that a number can lie between")
        if self.items < 1 or not self.says.strip() or not self.measurement.strip():
            found = f"says={self.says!r}, measurement={self.measurement!r}, items={self.items}"
            raise WrongUse(
                "state a claim", found=found, do="say it in words, name a measurement, and ask for items ≥ 1"
            )

    @property
    def digest(self) -> str:
        """What every measurement carries of it: another statement has another digest."""
        return fingerprint.of_value(self.to_dict())

    @property
    def bounds(self) -> tuple[float, float]:
        """Where the value must lie."""
        low = -math.inf if self.at_least is None else self.at_least
        return low, math.inf if self.at_most is None else self.at_most

    @property
    def prediction(self) -> str:
        """The same in words."""
        bounds = {"at least": self.at_least, "at most": self.at_most}
        words = " and ".join(f"{word} {shown(bound)}" for word, bound in bounds.items() if bound is not None)
        return f"{self.measurement}: {words or 'beats its nulls'}"

    def must_beat_nulls(self, measured: Measurement) -> bool:
        """Whether there is something to find in the good direction, by this prediction."""
        if (self.at_least is None) == (self.at_most is None):
            return True
        return (self.at_least is not None) == measured.null.higher_is_better

    def tested_by(self, measured: Measurement) -> Told:
        """What one measurement says of the claim."""
        if measured.n < self.items:
            return Told("cannot be told", f"{counted(measured.n, 'item')}, and at least {self.items} are needed")
        found = [self._bounded(measured)]
        if self.must_beat_nulls(measured):
            found += [_beaten(measured, null) for null in measured.nulls]
        for state in ("contradicted", "cannot be told"):
            if why := [one.why for one in found if one.state == state]:
                return Told(state, "; ".join(why))
        return Told("supported", "; ".join(one.why for one in found if one.why))

    def _bounded(self, measured: Measurement) -> Told:
        low, high = measured.interval or (measured.value, measured.value)
        least, most = self.bounds
        where = shown(measured.value) if measured.interval is None else shown_interval(measured.interval)
        if least <= low and high <= most:
            unbounded = self.at_least is None and self.at_most is None
            return Told("supported", "" if unbounded else f"{where} keeps to the bound")
        if high < least or low > most:
            return Told("contradicted", f"{where} lies {'below' if high < least else 'above'} the bound")
        return Told("cannot be told", f"the interval {where} crosses the bound")


def p_value(measured: Measurement) -> float | None:
    """The p-value of its hardest null; None where each null is one draw, which an interval decides."""
    return max((null.p_value for null in measured.nulls if len(null.draws) > 1), default=None)


def smallest_p(measured: Measurement) -> float | None:
    """The smallest p-value that its draws allow: 1 / (1 + draws), of the null with the fewest."""
    return max((1 / (1 + len(null.draws)) for null in measured.nulls if len(null.draws) > 1), default=None)


def _beaten(measured: Measurement, null: Null) -> Told:
    if measured.beats(null):
        return Told("supported", f"beats {null.name}")
    if null.advantage_interval is not None:
        where = shown_interval(null.advantage_interval)
        if null.advantage_interval[1] < 0:
            return Told("contradicted", f"does worse than {null.name} (advantage {where})")
        return Told("cannot be told", f"the interval of its advantage over {null.name}, {where}, crosses zero")
    if len(null.draws) == 1:
        return Told("contradicted", f"does no better than {null.name}")
    smallest = 1 / (1 + len(null.draws))
    if smallest > 1 - measured.level + ROUNDING:
        return Told("cannot be told", f"{len(null.draws)} draws of {null.name} allow no p below {smallest:.2g}")
    turned = Null.against(null.name, measured.value, null.draws, not null.higher_is_better)
    if turned.p_value <= 1 - measured.level + ROUNDING:
        return Told("contradicted", f"does worse than {null.name} (p={turned.p_value:.2g})")
    return Told("cannot be told", f"does not beat {null.name} (p={null.p_value:.2g})")
