"""What units and embeddings are compared with: their values on a counterfactual, or their means on neutral prompts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.circuit.places import Place
from microtome.model.model import Model
from microtome.model.neutral import NEUTRAL


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
    units, embed = _neutral_means(model, clean)
    pooled = side_by_side(units)
    place = [0] + [1] * (clean.frozen.n_positions - 1)
    errors = {at: torch.zeros_like(error) for at, error in clean.errors.items()}
    return Baseline(pooled[:, place], embed[place], errors)


def _neutral_means(model: Model, cut: Cut) -> tuple[list[Float[Tensor, "2 _"]], Float[Tensor, "2 d"]]:
    """Means of each block's units, and of the embedding: at position 0, and over all others."""
    sites = dict.fromkeys(site for block in cut.blocks for site in block.sites)
    run = model.run(NEUTRAL, ["embed", *sites])
    later = run.mask.clone()
    later[:, 0] = False

    def mean(x: Float[Tensor, "b p _"]) -> Float[Tensor, "2 _"]:
        return torch.stack([x[:, 0].mean(0), x[later].mean(0)])

    return [mean(block.encode({site: run[site] for site in block.sites})) for block in cut.blocks], mean(run["embed"])
