"""Where output goes: one JSON document on standard output, or words for people."""

import json
import sys
from typing import Any

from microtome.cluster.launch import speaks


def say(words: object, *, as_json: bool = False) -> None:
    """Words for people: on standard output, or on standard error where that is kept for JSON.

    Of several processes the first speaks for all.
    """
    if not speaks():
        return
    stream = sys.stderr if as_json else sys.stdout
    stream.write(f"{words}\n")
    stream.flush()  # a closed pipe must show here, where it is handled, and not when Python exits


def give(document: dict[str, Any]) -> None:
    """The one JSON document of a command; strict, so no NaN."""
    if not speaks():
        return
    sys.stdout.write(json.dumps(document, ensure_ascii=True, allow_nan=False, indent=2) + "\n")
    sys.stdout.flush()
