"""Absorption: a unit fails to fire for a concept because more special units took its direction over."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.codes import Active, active
from microtome.metrics.items import doubled
from microtome.metrics.metric import PerItem, metric
from microtome.metrics.ratio import ItemRatio, divided

# Constants of SAEBench, feature absorption.
LEAST_SHARE = 0.4  # of the probe's projection, for absorbers to count
LEAST_COSINE_OF_ONE = 0.025  # full absorption: of the one absorber with the probe
LEAST_COSINE_OF_SOME = 0.1  # fraction: of each absorber with the probe
MOST_ABSORBERS = 3  # fraction: how many may share


@dataclass(frozen=True)
class Projections:
    """What the active units of some tokens give along each token's probe direction.

    Attributes:
        codes: the active entries.
        whole: the projection of each token's activation on its probe, [t].
        of_entries: value × write · probe of each entry, [n].
        cosines: of the entry's write vector with the probe, [n].
        is_main: whether the entry's unit is a main unit of its token's class, [n].
    """

    codes: Active
    whole: Float[Tensor, " t"]
    of_entries: Float[Tensor, " n"]
    cosines: Float[Tensor, " n"]
    is_main: Bool[Tensor, " n"]


class _Absorption(ItemRatio):
    """The common part: projections on the probe of each token's class, and rates that are means over classes."""

    def __init__(self, writes: Float[Tensor, "u d"], probes: Float[Tensor, "c d"], main: Sequence[Int[Tensor, " m"]]):
        super().__init__()
        directions = doubled(probes)
        lengths = directions.norm(dim=1, keepdim=True)
        if len(main) != len(probes) or bool((lengths == 0).any()):
            raise WrongUse(
                f"measure {self.name}",
                found=f"{len(probes)} probes, {int((lengths == 0).sum())} of them zero, main units of {len(main)}",
                do="give a direction and the main units for every class",
            )
        directions = directions / lengths
        rows = doubled(writes)
        self.n_units = len(rows)
        self._directions = directions
        self._along = rows @ directions.T
        norms = rows.norm(dim=1, keepdim=True)
        self._cosines = self._along / norms.where(norms > 0, torch.ones_like(norms))
        self._is_main = torch.zeros(len(rows), len(probes), dtype=torch.bool, device=rows.device)
        for one, units in enumerate(main):
            self._is_main[units.to(rows.device), one] = True

    def add(
        self,
        x: Float[Tensor, "t d"],
        ids: Int[Tensor, " n"],
        values: Float[Tensor, " n"],
        offsets: Int[Tensor, " t_and_1"],
        classes: Int[Tensor, " t"],
    ) -> None:
        """Adds tokens on which the probe of their class is right (true positives).

        Args:
            x: activations, [t, d].
            ids: units of all tokens, one token after the other, [n].
            values: their activations, [n].
            offsets: where each token begins, from 0, and at the end n, [t + 1].
            classes: the class of each token, an index into the probes, [t].

        Raises:
            WrongUse: the tensors do not fit each other.
        """
        codes = active(self.name, ids, values, offsets, self.n_units)
        if not len(x) == len(classes) == codes.tokens:
            found = f"{len(x)} activations, codes of {codes.tokens} tokens, {len(classes)} classes"
            raise WrongUse(f"add tokens to {self.name}", found=found, do="give an activation and a class for each")
        of_token = classes.to(self._along.device)
        entry = (codes.units, of_token[codes.rows])
        told = Projections(
            codes=codes,
            whole=(doubled(x) * self._directions[of_token]).sum(1),
            of_entries=codes.values * self._along[entry],
            cosines=self._cosines[entry],
            is_main=self._is_main[entry],
        )
        absorbed = self._absorbed(told)
        self._sum(absorbed, torch.ones_like(absorbed), of_token)

    def value(self) -> float:
        """Mean over classes of the mean over a class's tokens.

        Raises:
            WrongUse: nothing was added, or sums are not finite.
        """
        if not self._sums.tokens:
            return super().value()  # raises, with the message for it
        _, rates, ones = self.per_item()
        return divided(self.name, float(rates.sum()), float(ones.sum()), below="classes", do=self.when_not_above_zero)

    def per_item(self) -> PerItem:
        """The classes, their rates, and ones: classes weigh the same, however many tokens they have."""
        items, above, below = super().per_item()
        return PerItem(items, above / below, np.ones(len(items)))

    @abstractmethod
    def _absorbed(self, told: Projections) -> Float[Tensor, " t"]:
        """How far each token is absorbed, in [0, 1]."""


@metric(summary="share of a probe's true positives on which one other unit stands in for all main units")
class AbsorptionFull(_Absorption):
    """Rate of full absorption: no main unit fires, and one other unit carries the concept instead.

    A token on which the probe of its class is right is absorbed where all of these hold:
        - no main unit of the class is active;
        - of all active units, the one with the largest projection on the probe has a cosine of at least 0.025 with it;
        - the token's own projection x · p is above zero, and that unit gives at least 0.4 of it.

        value = mean over classes of absorbed tokens / tokens added

    Main units are those that a k-sparse probe of the class reads; projections are value × write · p, p of norm 1.
    Chanin et al. 2024, arXiv:2409.14507, with the constants of SAEBench (Karvonen et al. 2025, arXiv:2503.09532). For
    write vectors of norm 1 it is SAEBench's; for others that takes the cosine for write · p, and so depends on how
    a unit's scale is split between its activation and its write vector. Here it does not.

    Unit: none. Range: [0, 1]. Lower is better.

    When it misleads:
        - It knows the concept by the probe: a bad probe direction makes any unit look like no absorber.
        - A dictionary with few active units, or with main units that fire everywhere, scores low without merit:
          read it beside `sparse_probing` and L0.
        - Absorption shared by several units is not seen; `absorption_fraction` sees up to three.

    Args:
        writes: write vectors of all units, [u, d].
        probes: the probe direction of each class, any length, [c, d].
        main: the main units of each class, one tensor a class.

    Raises:
        WrongUse: a class without a direction or without its main units.
    """

    name, unit, better, best = "absorption_full", "1", "lower", 0.0

    def _absorbed(self, told: Projections) -> Float[Tensor, " t"]:
        nothing = torch.full_like(told.whole, -torch.inf)
        top = nothing.scatter_reduce(0, told.codes.rows, told.of_entries, "amax")
        counts = (told.of_entries == top[told.codes.rows]) & (told.cosines >= LEAST_COSINE_OF_ONE)
        aligned = told.codes.per_token(counts.double()) > 0
        silent = told.codes.per_token(told.is_main.double()) == 0
        return (silent & aligned & (told.whole > 0) & (top >= LEAST_SHARE * told.whole)).double()


@metric(summary="share of a probe's projection that up to three other units took over from the main units")
class AbsorptionFraction(_Absorption):
    """Mean share of a concept that other units took over, also where main units still fire in part.

    For a token with projection P = x · p, main units that together give M, and A the sum of the three largest
    projections above zero of other units whose cosine with the probe is at least 0.1:

        fraction = 0                                  if P ≤ 0, M ≥ P or A < 0.4 P
                   1                                  else, if M ≤ 0
                   min(A, P − M) / (min(A, P − M) + M)  else
        value    = mean over classes of the mean over tokens added

    Names, source, arguments and warnings of `absorption_full`. Unit: none. Range: [0, 1]. Lower is better.
    """

    name, unit, better, best = "absorption_fraction", "1", "lower", 0.0

    def _absorbed(self, told: Projections) -> Float[Tensor, " t"]:
        main = told.codes.per_token(told.of_entries * told.is_main)
        absorbs = ~told.is_main & (told.cosines >= LEAST_COSINE_OF_SOME) & (told.of_entries > 0)
        others = _largest(told.of_entries[absorbs], told.codes.rows[absorbs], len(main))
        taken = others.minimum(told.whole - main)
        none = (told.whole <= 0) | (main >= told.whole) | (others < LEAST_SHARE * told.whole)
        share = torch.where(main <= 0, torch.ones_like(main), taken / (taken + main))
        return torch.where(none, torch.zeros_like(share), share)


def _largest(
    values: Float[Tensor, " n"], rows: Int[Tensor, " n"], tokens: int, most: int = MOST_ABSORBERS
) -> Float[Tensor, " t"]:
    """Sums of the `most` largest values of each token."""
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(rows[order], stable=True)]  # by token, the largest first
    values, rows = values[order], rows[order]
    begins = torch.searchsorted(rows, torch.arange(tokens, device=rows.device))
    rank = torch.arange(len(rows), device=rows.device) - begins[rows]
    first = rank < most
    return values.new_zeros(tokens).index_add_(0, rows[first], values[first])
