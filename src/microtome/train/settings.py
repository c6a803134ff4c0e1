"""Settings given together, each to the one that knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from microtome.core.config import Config
from microtome.core.errors import UnknownName

Known = Sequence[str] | type[Config]


def split(settings: Mapping[str, Any], owners: Mapping[str, Known]) -> dict[str, dict[str, Any]]:
    """Each owner's part of the settings; the first owner that knows a name has it.

    Args:
        settings: by name.
        owners: what each knows: names, or the fields of a configuration.

    Raises:
        UnknownName: nobody knows a setting; the message names the nearest.
    """
    known = {owner: names(what) for owner, what in owners.items()}
    parts: dict[str, dict[str, Any]] = {owner: {} for owner in owners}
    for name, value in settings.items():
        owner = next((owner for owner, theirs in known.items() if name in theirs), None)
        if owner is None:
            every = {one for theirs in known.values() for one in theirs}
            raise UnknownName("setting of this training", name, every, do="remove or rename it")
        parts[owner][name] = value
    return parts


def names(known: Known) -> tuple[str, ...]:
    """The names that an owner knows."""
    return tuple(field.name for field in fields(known)) if isinstance(known, type) else tuple(known)
