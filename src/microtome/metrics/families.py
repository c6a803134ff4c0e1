"""Families of planted features: a child is active only where its parent is. Do units keep the two apart?

A dictionary saves a unit where a child's unit writes the parent along with the child. Then the parent's own unit is
silent wherever the child is active (absorption), or there is none any more (splitting). Chanin et al. 2024,
arXiv:2409.14507; here the truth is known, and no probe is needed.
"""

from abc import abstractmethod

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import optimize
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.metric import Metric, PerItem, metric
from microtome.metrics.similarity import cosines

OF_PARENT = 0.7  # cosine from which the unit that is matched to a parent may stand for it
OF_CHILD = 0.5  # for a child it may be a mixture with the parent, whose cosine with either is √½
MOSTLY = 0.5


class _Families(Metric):
    """The common part: units matched one to one to features, and counts of tokens, parent by parent.

    Args:
        truth: directions of the features, [f, d].
        parents: of each feature, −1 where it has none, one a feature, [f].
        units: write vectors, dead units left out, [u, d].

    Raises:
        WrongUse: widths that differ, a vector of zero, or a feature without a place among the parents.
    """

    def __init__(self, truth: Float[Tensor, "f d"], parents: Int[Tensor, " n"], units: Float[Tensor, "u d"]):
        super().__init__()
        if len(parents) != len(truth):
            found = f"{len(truth)} features, parents of {len(parents)}"
            raise WrongUse(f"measure {self.name}", found=found, do="give the parent of every feature, −1 for none")
        of = cosines(self.name, truth, units)
        features, matched = optimize.linear_sum_assignment(of, maximize=True)
        unit, close = np.zeros(len(of), dtype=np.int64), np.full(len(of), -1.0)
        unit[features], close[features] = matched, of[features, matched]
        bounds = np.where(parents.cpu().numpy() < 0, OF_PARENT, OF_CHILD)
        self._unit, self._has = torch.from_numpy(unit), torch.from_numpy(close >= bounds)
        self._parents = parents.cpu()
        self._of = self._parents[self._parents >= 0].unique()
        self._counts = {name: torch.zeros(len(self._of), dtype=torch.float64)
                        for name in ("alone", "heard", "together", "told", "absorbed")}  # fmt: skip

    def add(self, active: Bool[Tensor, "t f"], on: Bool[Tensor, "t u"]) -> None:
        """Adds tokens.

        Args:
            active: which features are, [t, f].
            on: which units are, [t, u].
        """
        active, on = active.cpu(), on.cpu()
        said = on[:, self._unit] & self._has
        children = (self._parents[None] == self._of[:, None]).float().T  # [f, p]
        child = (active.float() @ children) > 0
        told = ((active & said).float() @ children) > 0  # a unit of a child that is there says so
        own, parent = said[:, self._of], active[:, self._of]
        alone, together = parent & ~child, parent & child
        for name, which in {
            "alone": alone, "heard": alone & own, "together": together, "told": together & told,
            "absorbed": together & ~own & told,
        }.items():  # fmt: skip
            self._counts[name] += which.sum(0)

    def value(self) -> float:
        """The ratio of sums over parents.

        Raises:
            WrongUse: nothing was added, or no parent can be judged.
        """
        _, above, below = self.per_item()
        if not below.sum() > 0:
            raise WrongUse(
                f"take the value of {self.name}", found=f"no parent of {len(self._of)} that can be judged by it",
                do="add tokens of parents with a child and without; say so where no parent has a unit of its own",
            )  # fmt: skip
        return float(above.sum() / below.sum())

    def per_item(self) -> PerItem:
        """The parents that can be judged, in rising order, and what each gives."""
        above, below = self._judged()
        kept = below > 0
        return PerItem(self._of.numpy()[kept], above[kept], below[kept])

    @property
    def _has_own(self) -> Bool[np.ndarray, " p"]:
        """Parents with a unit that fires on most of their tokens without a child."""
        own = self._has[self._of] & (self._counts["alone"] > 0)
        return (own & (self._counts["heard"] >= MOSTLY * self._counts["alone"])).numpy()

    @abstractmethod
    def _judged(self) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        """Numerator and denominator of each parent; a denominator of zero leaves it out."""


@metric(summary="share of a planted parent's tokens with a child on which the child's unit speaks for both")
class FamilyAbsorption(_Families):
    """How often a parent's own unit is silent while the unit of its active child fires.

        value = Σ_parents #{tokens: parent and child active, parent's unit silent, unit of an active child fires}
              / Σ_parents #{tokens: parent and child active}

    Units are matched to features one to one (as in `matched_cosine`). A parent's unit has a cosine of at least 0.7 with
    it and fires on at least half of its tokens without a child; parents without one are left out. A child's unit has
    at least 0.5: an even mixture of child and parent has √½ with either. Parents are the items, weighted by tokens.

    Unit: none. Range: [0, 1]. Lower is better.

    When it misleads:
        - Nothing is absorbed where no parent has a unit: read it beside `family_splitting`.
        - A unit that is silent now and then by itself counts too: `by_chance` says how often.
        - Absorption by a unit that is matched to another feature, or to none, is not seen.
    """

    name, unit, better, best = "family_absorption", "1", "lower", 0.0

    def by_chance(self) -> float:
        """The value if a parent's unit were as often silent beside a child as it is without: the null of absorption.

        Raises:
            WrongUse: as for `value`.
        """
        self.value()
        kept, counts = self._judged()[1] > 0, {name: one.numpy() for name, one in self._counts.items()}
        silent = 1 - counts["heard"][kept] / counts["alone"][kept]
        return float((silent * counts["told"][kept]).sum() / counts["together"][kept].sum())

    def _judged(self) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        own = self._has_own.astype(np.float64)
        return own * self._counts["absorbed"].numpy(), own * self._counts["together"].numpy()


@metric(summary="share of planted parents that only the units of their children speak for")
class FamilySplitting(_Families):
    """Share of parents without a unit of their own, of whose tokens with a child most have the child's unit fire.

    A unit of its own, and a child's unit, are those of `family_absorption`. Parents are the items; those that were
    never seen both with a child and without are left out. Unit: none. Range: [0, 1]. Lower is better.

    When it misleads:
        - A parent that nothing speaks for at all is not split but missed: read it beside `recovered_fraction`.
        - Several units for one parent, each for a part of its tokens without a child, are not seen: `split_fraction`.
    """

    name, unit, better, best = "family_splitting", "1", "lower", 0.0

    def _judged(self) -> tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
        counts = {name: one.numpy() for name, one in self._counts.items()}
        seen = (counts["alone"] > 0) & (counts["together"] > 0)
        split = seen & ~self._has_own & (counts["told"] >= MOSTLY * counts["together"])
        return split.astype(np.float64), seen.astype(np.float64)
