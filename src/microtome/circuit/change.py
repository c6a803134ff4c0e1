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
from microtome.model.frozen import Frozen, FrozenLayer


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
    parts = zip(pairs, gained(clean), gained(other), streams, neurons, strict=True)
    slack = [
        _slack(a, (attn - attn_other, mlp - mlp_other), stream, units)
        for (a, _), (attn, mlp), (attn_other, mlp_other), stream, units in parts
    ]
    nothing = torch.zeros_like(clean.embed)
    embed = clean.embed - other.embed
    return Change(
        embed=embed,
        places=None if clean.anatomy.positions is None else nothing,
        neurons=neurons,
        constants=[(nothing, nothing)] * len(pairs),
        attn_slack=[attn for attn, _ in slack],
        mlp_slack=[mlp for _, mlp in slack],
        streams=[a.between - b.between for a, b in pairs],
        final=clean.final - other.final,
        target=target_value(clean, target) - target_value(other, target),
        start=_first(embed),
        against=True,
    )


def _values(clean: Frozen, target: Target) -> Change:
    parts = zip(clean.layers, gained(clean), strict=True)
    slack = [_slack(layer, gain, layer.stream, layer.neurons) for layer, gain in parts]
    places = None
    if clean.anatomy.positions is not None:
        places = clean.anatomy.positions.get_parameter("weight").detach()[: clean.n_positions]
    return Change(
        embed=clean.embed if places is None else clean.embed - places,
        places=places,
        neurons=[layer.neurons for layer in clean.layers],
        constants=[(layer.attn_constant, layer.mlp_constant) for layer in clean.layers],
        attn_slack=[attn - layer.attn_constant for (attn, _), layer in zip(slack, clean.layers, strict=True)],
        mlp_slack=[mlp - layer.mlp_constant for (_, mlp), layer in zip(slack, clean.layers, strict=True)],
        streams=[layer.between for layer in clean.layers],
        final=clean.final,
        target=target_value(clean, target),
        start=0,
        against=False,
    )


def precise(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """In float64, where the device has it: a budget must come out to better than the float32 of the network."""
    return x if x.device.type == "mps" else x.double()


Gain = tuple[Float[Tensor, "p d"], Float[Tensor, "p d"]]
"""To the stream, over a layer's attention and over its MLP."""


def gained(frozen: Frozen) -> list[Gain]:
    """What the stream gained over each attention and each MLP, the rounding of its additions included."""
    ends = [precise(layer.stream) for layer in frozen.layers[1:]] + [precise(frozen.final)]
    found = []
    for layer, end in zip(frozen.layers, ends, strict=True):
        middle = layer.stream + precise(layer.attn_out) if layer.layer.parallel else precise(layer.between)
        found.append((middle - layer.stream, end - middle))
    return found


def _slack(
    layer: FrozenLayer, gain: Gain, stream: Float[Tensor, "p d"], neurons: Float[Tensor, "p u"]
) -> tuple[Float[Tensor, "p d"], Float[Tensor, "p d"]]:
    """What a layer's attention and MLP gave beyond what its frozen maps make of the stream and of the units."""
    attn, mlp = gain
    return attn - layer.attended(precise(stream)), mlp - layer.written(precise(neurons))


def _first(embed: Float[Tensor, "p d"]) -> int:
    """The first position that differs; on the prefix before it both prompts compute the same."""
    different = (embed != 0).any(1).nonzero()
    return int(different[0]) if len(different) else embed.shape[0] - 1


def target_value(frozen: Frozen, target: Target) -> float:
    """M on a frozen prompt."""
    return float(target.read(frozen.normed[target.position], frozen.anatomy))
