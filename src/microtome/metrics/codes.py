"""Metrics of sparse codes: fed with ids, values and offsets, and never with a dense [tokens, units]."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.items import Items, doubled
from microtome.metrics.metric import Metric


@dataclass(frozen=True)
class Active:
    """The entries of codes that are not zero.

    Attributes:
        units: the unit of each entry, [n].
        values: its activation, float64, [n].
        rows: its token, from 0 on, [n].
        tokens: how many tokens there are, those without an active unit too.
    """

    units: Int[Tensor, " n"]
    values: Float[Tensor, " n"]
    rows: Int[Tensor, " n"]
    tokens: int

    def per_token(self, weights: Float[Tensor, " n"]) -> Float[Tensor, " t"]:
        """Sums of some weights over the active units of each token."""
        return weights.new_zeros(self.tokens).index_add_(0, self.rows, weights)


def active(
    name: str, ids: Int[Tensor, " n"], values: Float[Tensor, " n"], offsets: Int[Tensor, " t_and_1"], n_units: int
) -> Active:
    """Reads compressed rows: token i has the units ids[offsets[i]:offsets[i + 1]], each at most once.

    A unit is active where its value is not zero, so a negative one (a neuron's) is active too.

    Args:
        name: of the metric, for the error.
        ids: units of all tokens, one token after the other, [n].
        values: their activations, [n].
        offsets: where each token begins, from 0, and at the end n, [t + 1].
        n_units: how many units there are.

    Raises:
        WrongUse: the three do not fit each other, or a unit lies outside the dictionary.
    """
    lengths = offsets.diff()
    problem = None
    if len(ids) != len(values):
        problem = f"{len(ids)} ids beside {len(values)} values"
    elif not len(offsets) or int(offsets[0]) != 0 or int(offsets[-1]) != len(ids) or bool((lengths < 0).any()):
        problem = f"offsets that do not rise from 0 to {len(ids)}: {offsets[:3].tolist()} … {offsets[-3:].tolist()}"
    elif len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < n_units:
        problem = f"units from {int(ids.min())} to {int(ids.max())}, where there are {n_units}"
    if problem:
        do = "give ids and values of all tokens one after the other, and where each token begins"
        raise WrongUse(f"add codes to {name}", found=problem, do=do)
    wide = doubled(values)
    keep = wide != 0
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=ids.device), lengths).to(wide.device)
    return Active(ids.to(wide.device)[keep], wide[keep], rows[keep], len(lengths))


class OfCodes(Metric):
    """A metric of the codes of some tokens.

    Args:
        n_units: how many units the dictionary has, those that never fire too.

    Raises:
        WrongUse: no units.
    """

    def __init__(self, n_units: int):
        super().__init__()
        if n_units < 1:
            raise WrongUse(f"measure {self.name}", found=f"{n_units} units", do="give the units of the dictionary")
        self.n_units = n_units

    def add(
        self,
        ids: Int[Tensor, " n"],
        values: Float[Tensor, " n"],
        offsets: Int[Tensor, " t_and_1"],
        items: Items = None,
    ) -> None:
        """Adds the codes of some tokens: token i has the units ids[offsets[i]:offsets[i + 1]], each at most once.

        Args:
            ids: units of all tokens, one token after the other, [n].
            values: their activations, [n]; zeros count as not active.
            offsets: where each token begins, from 0, and at the end n, [t + 1].
            items: the document of each token, [t], from 0 on; without it there are no intervals.

        Raises:
            WrongUse: the tensors do not fit each other, or a unit lies outside the dictionary.
        """
        self._take(active(self.name, ids, values, offsets, self.n_units), items)

    @abstractmethod
    def _take(self, codes: Active, items: Items) -> None:
        """Adds what some tokens give."""
