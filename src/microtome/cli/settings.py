"""Settings given as `NAME=VALUE`, where there are more of them than a command has options."""

import json
from collections.abc import Sequence
from typing import Any

from microtome.core.errors import WrongUse


def settings_of(given: Sequence[str]) -> dict[str, Any]:
    """The values by name: numbers, true, false, null, lists and objects as JSON has them, all else as words.

    Raises:
        WrongUse: one is no NAME=VALUE.
    """
    found: dict[str, Any] = {}
    for one in given:
        name, is_, value = one.partition("=")
        if not (name.isidentifier() and is_):
            raise WrongUse("take a setting", found=f"--set {one!r}", do="give it as NAME=VALUE, as in --set lr=0.001")
        try:
            read = json.loads(value)
        except json.JSONDecodeError:
            read = value
        found[name] = tuple(read) if isinstance(read, list) else read
    return found
