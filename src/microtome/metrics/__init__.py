"""Every estimator, once: formula, range, direction, when it misleads. `METRICS` holds them all."""

from microtome.metrics.metric import METRICS, HasItems, Metric, PerItem

__all__ = ["METRICS", "HasItems", "Metric", "PerItem"]
