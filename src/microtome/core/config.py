"""Frozen configurations that refuse what they do not know."""

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from microtome.core.errors import UnknownName

Kind = TypeVar("Kind", bound="Config")  # typing.Self cannot be checked at run time


@dataclass(frozen=True)
class Config:
    """Base of all configurations: a frozen dataclass that can be written down and read back."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[Kind], values: dict[str, Any], called: str = "") -> Kind:
        """Builds the configuration from plain values; `called` is a field's name for people, where they chose them.

        Raises:
            UnknownName: a key is no field; the message names the nearest fields.
        """
        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise UnknownName(called or f"{cls.__name__} field", key, known, do="remove or rename the key")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
