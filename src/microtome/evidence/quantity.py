"""A quantity: a number that is no evidence. A count, a cost, an attribution, a certificate's error."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from microtome.evidence.record import number, plain, reading, shown, text


@dataclass(frozen=True)
class Quantity:
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON; what is not finite becomes null."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Quantity":
        """Reads back what `to_dict` wrote.

        Raises:
            FormatError: fields are missing, unknown or of another kind.
        """
        with reading(cls, values):
            value = values["value"]
            return cls(
                name=text(values["name"]),
                value=value if isinstance(value, int) and not isinstance(value, bool) else number(value),
                unit=text(values["unit"]),
                note=text(values["note"]),
            )

    def __str__(self) -> str:
        value = f"{self.value:,}" if isinstance(self.value, int) else shown(self.value)
        line = f"{self.name} {value} {self.unit}".rstrip()
        return f"{line} ({self.note})" if self.note else line
