"""Ways to score the nodes and edges of a network's component graph: one file each."""

from microtome.core.registry import import_siblings

import_siblings(__name__, list(__path__))
