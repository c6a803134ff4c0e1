"""The kinds of corpora, one a file. `CORPORA` taken from here holds them all."""

from microtome.core.registry import import_siblings
from microtome.data.corpus import CORPORA

__all__ = ["CORPORA"]

import_siblings(__name__, list(__path__))
