"""What units and embeddings are compared with: their values on a counterfactual, or their means on neutral prompts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.circuit.neutral_means import neutral_means
from microtome.circuit.places import Place
from microtome.model.model import Model


@dataclass(frozen=True)
class Baseline:
    """Values where nothing is said of what the prompt says.

    Attributes:
        units: `[k, p, u]`.
        embed: what enters layer 0, `[p, d]`.
        errors: what at each place is no unit's, `[p, d]`.
    """

    units: Float[Tensor, "k p u"]
    embed: Float[Tensor, "p d"]
    errors: dict[Place, Float[Tensor, "p d"]]


def baseline(model: Model, clean: Cut, other: Cut | None) -> Baseline:
    """The counterfactual's values; without one, means over the shipped neutral prompts, position 0 apart.

    Errors have no mean that says anything: without a counterfactual they are compared with none.

    Args:
        model: that both were run on.
        clean: the prompt.
        other: the counterfactual, or None.
    """
    if other is not None:
        return Baseline(other.values, other.frozen.embed, other.errors)
    found = neutral_means(model, clean.blocks)
    place = [0] + [1] * (clean.frozen.n_positions - 1)
    units = side_by_side([means[:, block.columns] for means, block in zip(found.units, clean.blocks, strict=True)])
    errors = {at: torch.zeros_like(error) for at, error in clean.errors.items()}
    return Baseline(units[:, place], found.embed[place], errors)
