"""Evidence as strict JSON: no NaN, no infinity, nothing that a reader in another language refuses."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, TypeVar

from microtome.core.errors import FormatError, WrongUse

Kind = TypeVar("Kind", bound="Record")


class Record:
    """A frozen dataclass that is written as strict JSON and read back.

    Attributes:
        READS: for each field the function that reads it, and raises TypeError or ValueError on anything else.
    """

    READS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for strict JSON; what is not finite becomes null."""
        return plain(self)

    @classmethod
    def from_dict(cls: type[Kind], values: Mapping[str, Any]) -> Kind:
        """Reads back what `to_dict` wrote.

        Raises:
            FormatError: fields are missing, unknown or of another kind.
        """
        with reading(cls, values):
            return cls(**{name: read(values[name]) for name, read in cls.READS.items()})


def plain(value: Any) -> Any:
    """What JSON can hold: records become objects, tuples lists, numbers that are not finite null.

    Infinity and NaN share the one `null`; both are read back as NaN.
    """
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


@contextmanager
def reading(kind: type, values: Mapping[str, Any]) -> Iterator[None]:
    """Checks that an object has exactly the fields of `kind`, and that they convert inside the block.

    Raises:
        FormatError: a field is missing, unknown, or holds something else than it should.
    """
    what = f"read a {kind.__name__} from JSON"
    again = "give what `to_dict` wrote, or make the artefact again"
    if not isinstance(values, Mapping):
        raise FormatError(what, found=f"a {type(values).__name__}, no object", do=again)
    wanted, given = {field.name for field in fields(kind)}, set(values)
    if wanted != given:
        lacks, extra = sorted(wanted - given), sorted(map(str, given - wanted))
        raise FormatError(what, found=f"missing fields {lacks}, unknown fields {extra}", do=again)
    try:
        yield
    except (TypeError, ValueError) as error:
        raise FormatError(what, found=str(error), do=again) from error
    except WrongUse as error:  # right fields with values that no run of ours would write
        raise FormatError(what, found=error.found, do=again) from error


def text(value: Any) -> str:
    """A string, or a TypeError."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} where text belongs")
    return value


def whole(value: Any) -> int:
    """An integer, or a TypeError."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} where a whole number belongs")
    return value


def number(value: Any) -> float:
    """A number, NaN for null, or a TypeError."""
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{value!r} where a number belongs")
    return float(value)


def count_or_number(value: Any) -> float | int:
    """An integer as it stands, else as `number`."""
    return value if isinstance(value, int) and not isinstance(value, bool) else number(value)


def flag(value: Any) -> bool:
    """True or false, or a TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} where true or false belongs")
    return value


def parts(value: Any) -> list[Any]:
    """A list, or a TypeError."""
    if not isinstance(value, list):
        raise TypeError(f"{value!r} where a list belongs")
    return value


def each(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Reads a list, every member by the same function."""
    return lambda value: tuple(read(one) for one in parts(value))


def optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads null as None, anything else by the function."""
    return lambda value: None if value is None else read(value)


def pair(value: Any) -> tuple[float, float] | None:
    """An interval, None for null, or a ValueError."""
    if value is None:
        return None
    if len(parts(value)) != 2:
        raise ValueError(f"{value!r} where an interval belongs")
    return number(value[0]), number(value[1])


def shown(value: float) -> str:
    """A number for a line of text: 1,234 · 0.81 · 3.2e-05."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.2g}"


def shown_interval(interval: tuple[float, float]) -> str:
    """An interval for a line of text: [0.74, 0.87]."""
    return f"[{shown(interval[0])}, {shown(interval[1])}]"
