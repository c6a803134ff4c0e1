"""A quantity: a number that is no evidence. A count, a cost, an attribution, a certificate's error."""

from dataclasses import dataclass
from typing import ClassVar

from microtome.evidence.record import Record, count_or_number, shown, text


@dataclass(frozen=True)
class Quantity(Record):
    """A number with its unit. It has no null, and nothing may be concluded from it alone.

    Attributes:
        name: what it is, as it reads in a sentence (`units that differ`).
        value: the number.
        unit: what it counts or is measured in; empty for a plain ratio.
        note: what the reader has to know beside it.
    """

    name: str
    value: float | int
    unit: str
    note: str = ""

    READS: ClassVar = {
        "name": text,
        "value": count_or_number,
        "unit": text,
        "note": text,
    }

    def __str__(self) -> str:
        value = f"{self.value:,}" if isinstance(self.value, int) else shown(self.value)
        line = f"{self.name} {value} {self.unit}".rstrip()
        return f"{line} ({self.note})" if self.note else line
