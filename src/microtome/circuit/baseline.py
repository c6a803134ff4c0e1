"""What units and embeddings are compared with: their values on a counterfactual, or their means on neutral prompts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.model.model import Model


@dataclass(frozen=True)
class Baseline:
    """Values where nothing is said of what the prompt says.

    Attributes:
        units: `[l, p, u]`.
        embed: what enters layer 0, `[p, d]`.
        errors: what of each layer's MLP is no unit's, `[p, d]` by layer.
    """

    units: Float[Tensor, "l p u"]
    embed: Float[Tensor, "p d"]
    errors: dict[int, Float[Tensor, "p d"]]


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
    told = {layer.reads: layer.amounts for layer in clean.layers}
    means = model.means(["embed", *told], told=told)
    pooled = side_by_side([means[layer.reads] for layer in clean.layers])
    place = [0] + [1] * (clean.frozen.n_positions - 1)
    errors = {i: torch.zeros_like(error) for i, error in clean.errors.items()}
    return Baseline(pooled[:, place], means["embed"][place], errors)
