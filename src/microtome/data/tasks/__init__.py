"""The generators of tasks, one a file. `TASKS` taken from here holds them all."""

from microtome.core.registry import import_siblings
from microtome.data.generator import TASKS

__all__ = ["TASKS"]

import_siblings(__name__, list(__path__))
