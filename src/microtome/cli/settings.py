"""Settings given as `NAME=VALUE`, where there are more of them than a command has options."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from microtome.core.errors import WrongUse


def settings_of(given: Sequence[str], options: Collection[str] = ()) -> dict[str, Any]:
    """The values by name: numbers, true, false, null, lists and objects as JSON has them, all else as words.

    Args:
        given: as NAME=VALUE.
        options: of the command, which are no such settings.

    Raises:
        WrongUse: one is no NAME=VALUE, or has an option of its own.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, is_, value = one.partition("=")
        if not (name.isidentifier() and is_):
            raise WrongUse("take a setting", found=f"--set {one!r}", do="give it as NAME=VALUE, as in --set lr=0.001")
        if name in options:
            raise WrongUse("take a setting", found=f"--set {one}", do=f"say --{name.replace('_', '-')} {value}")
        try:
            read = json.loads(value)
        except json.JSONDecodeError:
            read = value
        found[name] = tuple(read) if isinstance(read, list) else read
    return found
