"""Every estimator, once: formula, range, direction, when it misleads. `METRICS` taken from here holds them all."""

from microtome.core.registry import import_siblings
from microtome.metrics.metric import METRICS, HasItems, Metric, PerItem

__all__ = ["METRICS", "HasItems", "Metric", "PerItem"]

import_siblings(__name__, list(__path__))
