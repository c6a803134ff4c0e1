"""Recovery: whether the units of a dictionary are the features that are known to be there.

For activations whose features were planted. Vectors are write vectors; each block of units is one dictionary.
"""

from abc import abstractmethod

import numpy as np
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.metric import metric
from microtome.metrics.similarity import OverUnits, cosines


class _Recovery(OverUnits):
    """The common part: a mean over features, or over units, of one dictionary after another."""

    def add(self, truth: Float[Tensor, "f d"], units: Float[Tensor, "u d"]) -> None:
        """Adds a dictionary, or a block of one, with the features that are to be found in it.

        Args:
            truth: directions of the features, of any length, [f, d].
            units: write vectors, of any length, dead units left out, [u, d].

        Raises:
            WrongUse: widths that differ, or a vector of zero.
        """
        self._parts.append(self._scores(cosines(self.name, truth, units)))

    @abstractmethod
    def _scores(self, of: Float[np.ndarray, "f u"]) -> np.ndarray:
        """One number a feature, or a unit, from all cosines."""


class _Bounded(_Recovery):
    """One that holds cosines against a bound, `usual` where none is given."""

    usual: float

    def __init__(self, bound: float | None = None):
        super().__init__()
        self.bound = self.usual if bound is None else bound
        if not -1 < self.bound < 1:
            raise WrongUse(f"measure {self.name}", found=f"a cosine of {self.bound:g}", do="give one in (−1, 1)")


def matched(of: Float[np.ndarray, "f u"]) -> Float[np.ndarray, " f"]:
    """The cosine of each feature with its unit, features and units being matched one to one for the largest sum.

    A feature for which no unit is left has 0.
    """
    rows, columns = optimize.linear_sum_assignment(of, maximize=True)
    found = np.zeros(len(of))
    found[rows] = of[rows, columns]
    return found


@metric(summary="mean cosine of planted features with the units matched to them, one to one")
class MatchedCosine(_Recovery):
    """Mean over features of the cosine with the unit that is matched to it.

        value = 1/f Σ_i cos(feature_i, unit_π(i)),   π one to one, the sum as large as can be

    The mean max cosine of Sharkey et al. 2022 lets several features claim one unit, and so forgives a unit that joins
    two; here each unit answers for one feature (Hungarian method, scipy).

    Unit: none. Range: [−1, 1]; 1 where each feature has a unit of its own along it. Higher is better.

    When it misleads:
        - Random directions score well above 0, the more units there are: set it against them.
        - It says nothing of the units that are left over: read it beside `false_units`.
    """

    name, unit, better, best = "matched_cosine", "1", "higher", 1.0

    def _scores(self, of: Float[np.ndarray, "f u"]) -> np.ndarray:
        return matched(of)


@metric(summary="share of planted features with a unit of their own along them")
class RecoveredFraction(_Bounded):
    """Share of features whose matched unit has a cosine above 0.9 with it; matching as in `matched_cosine`.

    Unit: none. Range: [0, 1]. Higher is better. Arguments and warnings of `matched_cosine`.

    Args:
        bound: the cosine above which a feature counts as recovered.

    Raises:
        WrongUse: a threshold outside (−1, 1).
    """

    name, unit, better, best = "recovered_fraction", "1", "higher", 1.0
    usual = 0.9

    def _scores(self, of: Float[np.ndarray, "f u"]) -> np.ndarray:
        return matched(of) > self.bound


@metric(summary="share of units that lie along no planted feature")
class FalseUnits(_Bounded):
    """Share of units whose largest cosine with a feature is below 0.7.

    Below √½, a unit may be an even mixture of two orthogonal features and belong to neither.

    Unit: none. Range: [0, 1]. Lower is better.

    When it misleads:
        - A dictionary of more units than there are features must have false or doubled ones: compare at one size.
        - In few dimensions much is near some feature by chance: set it against random directions.

    Args:
        bound: the cosine below which a unit counts as false.

    Raises:
        WrongUse: a threshold outside (−1, 1).
    """

    name, unit, better, best = "false_units", "1", "lower", 0.0
    usual = 0.7

    def _scores(self, of: Float[np.ndarray, "f u"]) -> np.ndarray:
        return of.max(0) < self.bound


@metric(summary="share of planted features that several units lie along")
class SplitFraction(_Bounded):
    """Share of features along which two units or more lie, each with a cosine above 0.8 and nearest to that feature.

    Unit: none. Range: [0, 1]. Lower is better.

    When it misleads:
        - Units that mix a feature with a second one, as those of a split parent and its children do, have a cosine of
          √½ with either: they are `false_units`, or near, and no splits.
        - Doubled units of one feature and a real division of it look alike; when they fire tells them apart.

    Args:
        bound: the cosine above which a unit lies along a feature.

    Raises:
        WrongUse: a threshold outside (−1, 1).
    """

    name, unit, better, best = "split_fraction", "1", "lower", 0.0
    usual = 0.8

    def _scores(self, of: Float[np.ndarray, "f u"]) -> np.ndarray:
        nearest, along = of.argmax(0), of.max(0) > self.bound
        return np.bincount(nearest[along], minlength=len(of)) >= 2
