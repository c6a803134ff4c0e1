"""Evidence: measurements with their nulls, intervals and tests. Receives draws, knows no model."""

from microtome.evidence.area import area_over_log, log_weights
from microtome.evidence.false_discovery import benjamini_hochberg
from microtome.evidence.finding import Finding
from microtome.evidence.intervals import (
    Estimate,
    clopper_pearson,
    difference_of_own_ratios,
    difference_of_ratios,
    mean_interval,
    most_errors,
    ratio_of_sums,
)
from microtome.evidence.ledger import Ledger
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import Null, null_of_the_mean
from microtome.evidence.quantity import Quantity

__all__ = [
    "Estimate",
    "Finding",
    "Ledger",
    "Measurement",
    "Null",
    "Quantity",
    "area_over_log",
    "benjamini_hochberg",
    "clopper_pearson",
    "difference_of_own_ratios",
    "difference_of_ratios",
    "log_weights",
    "mean_interval",
    "most_errors",
    "null_of_the_mean",
    "ratio_of_sums",
]
