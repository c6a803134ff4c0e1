"""Training of dictionaries. The room can be called: `microtome.train(store, site="resid.15", units=8192, k=32)`.

The front door has the room's own name, and importing the room puts the room in its place.
"""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A module that is its own front door."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `microtome.train.training.train`."""
        from microtome.train.training import train

        return train(*args, **options)


sys.modules[__name__].__class__ = _Room
