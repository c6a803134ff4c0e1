"""Reads the fields of a result's dictionary; what is missing, of the wrong type or not finite is refused."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from microtome.core.errors import FormatError, nearest

T = TypeVar("T")

# float32 carries no more, and a page of 10,000 edges is half the size without the noise behind it.
SIGNIFICANT_DIGITS = 7


@dataclass(frozen=True)
class Fields:
    """One dictionary of a result, and where in the result it stands, for messages.

    Every method takes a key and raises FormatError when the value is not what its name says.
    """

    row: Mapping[str, Any]
    where: str

    def number(self, key: str) -> float:
        """A finite number, rounded to seven significant digits."""
        return self._finite(key, self._value(key))

    def maybe(self, read: Callable[["Fields", str], T], key: str) -> T | None:
        """What `read` reads (`Fields.number`, …), or None where the key is absent or null."""
        return None if self.row.get(key) is None else read(self, key)

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self._value(key)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(key, f"{value!r}, which is no whole number")
        return value

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            self.refuse(key, f"{value!r}, which is neither true nor false")
        return value

    def text(self, key: str) -> str:
        """A text, as it stands."""
        value = self._value(key)
        if not isinstance(value, str):
            self.refuse(key, f"{value!r}, which is no text")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of texts."""
        values = self.items(key)
        for value in values:
            if not isinstance(value, str):
                self.refuse(key, f"{value!r} in the list, which is no text")
        return values

    def numbers(self, key: str) -> list[float]:
        """A list of finite numbers."""
        return [self._finite(key, value) for value in self.items(key)]

    def interval(self, key: str) -> tuple[float, float]:
        """Two numbers, the lower first."""
        ends = self.numbers(key)
        if len(ends) != 2 or ends[0] > ends[1]:
            self.refuse(key, f"{ends}, which is no interval [low, high]")
        return ends[0], ends[1]

    def items(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self._value(key)
        if not isinstance(value, (list, tuple)):
            self.refuse(key, f"a {type(value).__name__}, which is no list")
        return list(value)

    def part(self, key: str) -> "Fields":
        """A dictionary within this one."""
        value = self._value(key)
        if not isinstance(value, Mapping):
            self.refuse(key, f"a {type(value).__name__}, which is no object")
        return Fields(value, f"{self.where}.{key}")

    def parts(self, key: str) -> list["Fields"]:
        """A list of dictionaries."""
        rows = self.items(key)
        for row in rows:
            if not isinstance(row, Mapping):
                self.refuse(key, f"a {type(row).__name__} in the list, which is no object")
        return [Fields(row, f"{self.where}.{key}[{index}]") for index, row in enumerate(rows)]

    def refuse(self, key: str, found: str) -> NoReturn:
        """Raises the FormatError of this place."""
        raise FormatError(f"show {self.where}.{key}", found=found, do="give what `to_dict()` returned, unedited")

    def _value(self, key: str) -> Any:
        if key not in self.row:
            self.refuse(key, f"no such key: {nearest(key, self.row)}")
        return self.row[key]

    def _finite(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            self.refuse(key, f"{value!r}, which is no finite number")
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
