"""Sets of units to prove: the circuit, the units that change most, and random sets matched cell by cell."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rankings:
    """For one prompt, the order in which each kind of set takes units; lower rank first.

    Attributes:
        circuit: by absolute attribution, `[k, p, u]`.
        change: by how much a unit's write changes, `|Δa| · ‖write‖`.
        cells: random order inside each (block, position), one a draw, `[n, k, p, u]`.
        differs: units that differ between clean and counterfactual; no other is ever in a set.
    """

    circuit: Int[Tensor, "k p u"]
    change: Int[Tensor, "k p u"]
    cells: Int[Tensor, "n k p u"]
    differs: Bool[Tensor, "k p u"]

    def sets(self, size: int) -> Bool[Tensor, "s k p u"]:
        """The circuit, the change null, and the matched sets, all of one size."""
        circuit = (self.circuit < size) & self.differs
        change = (self.change < size) & self.differs
        counts = circuit.sum(-1, keepdim=True)
        matched = (self.cells < counts) & self.differs
        return torch.cat([torch.stack([circuit, change]), matched])


def rankings(
    scores: Float[Tensor, "k p u"],
    changed: Float[Tensor, "k p u"],
    differs: Bool[Tensor, "k p u"],
    draws: int,
    seed: int,
) -> Rankings:
    """Orders units three ways.

    Args:
        scores: attributions.
        changed: how much each unit's write changes.
        differs: units that may be in a set.
        draws: matched random sets.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand((draws, *scores.shape), generator=generator).to(scores.device)
    noise = noise.masked_fill(~differs, 2.0)
    cells = _places(noise.argsort(-1))
    return Rankings(_ranks(scores.abs(), differs), _ranks(changed, differs), cells, differs)


def _ranks(score: Float[Tensor, "k p u"], differs: Bool[Tensor, "k p u"]) -> Int[Tensor, "k p u"]:
    flat = score.masked_fill(~differs, -1.0).flatten()
    return _places(flat.argsort(descending=True, stable=True)).view(score.shape)


def _places(order: Int[Tensor, "*b n"]) -> Int[Tensor, "*b n"]:
    """From what stands at each place to where each stands: the inverse permutation, without a second sort."""
    there = torch.arange(order.shape[-1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(-1, order, there)
