"""Panels on one self-contained page. The room can be called: `microtome.report(graph, proof, path)`.

The front door has the room's own name, and importing the room puts the room in its place.
"""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A module that is its own front door."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `microtome.report.writer.report`."""
        from microtome.report.writer import report

        return report(*args, **options)


sys.modules[__name__].__class__ = _Room
