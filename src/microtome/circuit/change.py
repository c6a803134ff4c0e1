"""What flows through the frozen network: values, or what changed against a counterfactual.

Both are the same bookkeeping. Against a counterfactual every source carries clean minus counterfactual,
constants cancel, and what the clean operator does not predict is the nonlinear part. Without one every
source carries its value and the constants are sources of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from microtome.circuit.target import Target
from microtome.model.frozen import Frozen


@dataclass(frozen=True)
class Change:
    """Sources of one prompt, exact by layer: their sum through the operator is every reader's value.

    Attributes:
        embed: token embeddings, `[p, d]`.
        places: learned positions, `[p, d]`, or None.
        neurons: hidden units, `[p, u]` a layer; dense and sparse layers may differ in u.
        constants: what attention and MLP add whatever they read, `[p, d]` a layer; zero in a difference.
        attn_slack, mlp_slack: what they added that the frozen operator does not give, `[p, d]` a layer.
        streams: what each MLP's norm reads, `[p, d]` a layer.
        final: `[p, d]`.
        target: the target's value, or its change.
        start: first position where anything flows.
        against: whether these are differences.
    """

    embed: Float[Tensor, "p d"]
    places: Float[Tensor, "p d"] | None
    neurons: list[Tensor]
    constants: list[tuple[Float[Tensor, "p d"], Float[Tensor, "p d"]]]
    attn_slack: list[Float[Tensor, "p d"]]
    mlp_slack: list[Float[Tensor, "p d"]]
    streams: list[Float[Tensor, "p d"]]
    final: Float[Tensor, "p d"]
    target: float
    start: int
    against: bool

    @property
    def differs(self) -> Bool[Tensor, "l p u"]:
        """Which units carry anything."""
        return side_by_side(self.neurons) != 0


def side_by_side(layers: Sequence[Float[Tensor, "*p _"]]) -> Float[Tensor, "l *p u"]:
    """Units of all layers as one tensor; narrower layers are padded with zeros, which no choice ever takes."""
    widest = max(layer.shape[-1] for layer in layers)
    return torch.stack([pad(layer, (0, widest - layer.shape[-1])) for layer in layers])


def change(clean: Frozen, other: Frozen | None, target: Target) -> Change:
    """Values of the clean prompt, or its differences to another of the same length."""
    if other is None:
        return _values(clean, target)
    pairs = list(zip(clean.layers, other.layers, strict=True))
    streams = [a.stream - b.stream for a, b in pairs]
    neurons = [a.neurons - b.neurons for a, b in pairs]
    attn_slack = [a.attn_out - b.attn_out - a.attended(stream) for (a, b), stream in zip(pairs, streams, strict=True)]
    mlp_slack = [a.mlp_out - b.mlp_out - a.written(units) for (a, b), units in zip(pairs, neurons, strict=True)]
    nothing = torch.zeros_like(clean.embed)
    embed = clean.embed - other.embed
    return Change(
        embed=embed,
        places=None if clean.anatomy.positions is None else nothing,
        neurons=neurons,
        constants=[(nothing, nothing)] * len(pairs),
        attn_slack=attn_slack,
        mlp_slack=mlp_slack,
        streams=[a.between - b.between for a, b in pairs],
        final=clean.final - other.final,
        target=target_value(clean, target) - target_value(other, target),
        start=_first(embed),
        against=True,
    )


def _values(clean: Frozen, target: Target) -> Change:
    places = None
    if clean.anatomy.positions is not None:
        places = clean.anatomy.positions.get_parameter("weight").detach()[: clean.n_positions]
    return Change(
        embed=clean.embed if places is None else clean.embed - places,
        places=places,
        neurons=[layer.neurons for layer in clean.layers],
        constants=[(layer.attn_constant, layer.mlp_constant) for layer in clean.layers],
        attn_slack=[layer.attn_out - layer.attended(layer.stream) - layer.attn_constant for layer in clean.layers],
        mlp_slack=[layer.mlp_out - layer.written(layer.neurons) - layer.mlp_constant for layer in clean.layers],
        streams=[layer.between for layer in clean.layers],
        final=clean.final,
        target=target_value(clean, target),
        start=0,
        against=False,
    )


def _first(embed: Float[Tensor, "p d"]) -> int:
    """The first position that differs; on the prefix before it both prompts compute the same."""
    different = (embed != 0).any(1).nonzero()
    return int(different[0]) if len(different) else embed.shape[0] - 1


def target_value(frozen: Frozen, target: Target) -> float:
    """M on a frozen prompt."""
    return float(target.read(frozen.normed[target.position], frozen.anatomy))
