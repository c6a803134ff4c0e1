"""Retrieval: whether what was ranked high is what is known to be there.

For circuits whose nodes and edges are known. Of all three: unit none, range [0, 1], higher is better.
"""

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata

Name = TypeVar("Name", bound=Hashable)


def precision(found: Collection[Name], true: Collection[Name]) -> float | None:
    """Share of what was found that is true; None where nothing was found.

    When it misleads: one true find among hundreds that were missed has a precision of 1. Read it beside `recall`.
    """
    return len({*found} & {*true}) / len({*found}) if found else None


def recall(found: Collection[Name], true: Collection[Name]) -> float | None:
    """Share of what is true that was found; None where nothing is true.

    When it misleads: who calls everything found has a recall of 1. Read it beside `precision`.
    """
    return len({*found} & {*true}) / len({*true}) if true else None


def auroc(scores: Mapping[Name, float], true: Collection[Name]) -> float | None:
    """The chance that a true one is scored above another; ties count one half. None where all are true, or none is.

        value = (Σ ranks of true ones − n₁(n₁ + 1)/2) / (n₁ n₀)      (Mann and Whitney 1947)

    When it misleads:
        - It knows no threshold: scores that rank well may still lie on the wrong side of any given one.
        - Where few are true, hundreds of false ones above them hardly lower it: read it beside `precision`.
    """
    return area(np.array([*scores.values()], float), np.array([name in true for name in scores], bool))


def area(scores: Float[np.ndarray, " n"], true: Bool[np.ndarray, " n"]) -> float | None:
    """`auroc` of arrays."""
    positive, negative = int(true.sum()), int((~true).sum())
    if not positive or not negative:
        return None
    return float((rankdata(scores)[true].sum() - positive * (positive + 1) / 2) / (positive * negative))
