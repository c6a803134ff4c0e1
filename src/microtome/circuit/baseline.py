"""What units and embeddings are compared with: their values on a counterfactual, or their means on neutral prompts."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from microtome.circuit.change import side_by_side
from microtome.model.frozen import Frozen
from microtome.model.model import Model


@dataclass(frozen=True)
class Baseline:
    """Values where nothing is said of what the prompt says.

    Attributes:
        units: `[l, p, u]`.
        embed: what enters layer 0, `[p, d]`.
    """

    units: Float[Tensor, "l p u"]
    embed: Float[Tensor, "p d"]


def baseline(model: Model, n_positions: int, other: Frozen | None) -> Baseline:
    """The counterfactual's values; without one, means over the shipped neutral prompts, position 0 apart.

    Args:
        model: that both were run on.
        n_positions: of the prompt.
        other: the counterfactual, frozen, or None.
    """
    if other is not None:
        return Baseline(side_by_side([layer.neurons for layer in other.layers]), other.embed)
    means = model.means(["embed", "mlp.neurons.*"])
    pooled = side_by_side([means[f"mlp.neurons.{i}"] for i in range(model.n_layers)])
    place = [0] + [1] * (n_positions - 1)
    return Baseline(pooled[:, place], means["embed"][place])
