"""What flows through the frozen network: values, or what changed against a counterfactual.

Both are the same bookkeeping. Against a counterfactual every source carries clean minus counterfactual,
constants cancel, and what the clean operator does not predict is the nonlinear part. Without one every
source carries its value and the constants are sources of their own.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.basis import Cut, LayerUnits, side_by_side
from microtome.circuit.target import Target
from microtome.model.frozen import Frozen


@dataclass(frozen=True)
class Change:
    """Sources of one prompt, exact by layer: their sum through the operator is every reader's value.

    Attributes:
        embed: token embeddings, `[p, d]`.
        places: learned positions, `[p, d]`, or None.
        units: their activations, `[p, u]` a layer; layers may differ in u.
        errors: what no unit wrote, `[p, d]`, by layer; none in layers whose units leave nothing.
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
    units: list[Tensor]
    errors: dict[int, Float[Tensor, "p d"]]
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
        return side_by_side(self.units) != 0


def change(clean: Cut, other: Cut | None, target: Target) -> Change:
    """Values of the clean prompt, or its differences to another of the same length."""
    return _values(clean, target) if other is None else _differences(clean, other, target)


def _differences(clean: Cut, other: Cut, target: Target) -> Change:
    here, there = clean.frozen, other.frozen
    pairs = list(zip(here.layers, there.layers, strict=True))
    errors = {i: error - other.errors[i] for i, error in clean.errors.items()}
    flowing = [
        Flowing(a.stream - b.stream, a.between - b.between, of_a.values - of_b.values, errors.get(i))
        for i, ((a, b), of_a, of_b) in enumerate(zip(pairs, clean.layers, other.layers, strict=True))
    ]
    gains = [
        (attn - attn_other, mlp - mlp_other)
        for (attn, mlp), (attn_other, mlp_other) in zip(gained(here), gained(there), strict=True)
    ]
    slack = [_slack(*one) for one in zip(clean.layers, gains, flowing, strict=True)]
    nothing, embed = torch.zeros_like(here.embed), here.embed - there.embed
    return Change(
        embed=embed,
        places=None if here.anatomy.positions is None else nothing,
        units=[one.units for one in flowing],
        errors=errors,
        constants=[(nothing, nothing)] * len(pairs),
        attn_slack=[attn for attn, _ in slack],
        mlp_slack=[mlp for _, mlp in slack],
        streams=[one.read for one in flowing],
        final=here.final - there.final,
        target=target_value(here, target) - target_value(there, target),
        start=_first(embed),
        against=True,
    )


def _values(clean: Cut, target: Target) -> Change:
    frozen = clean.frozen
    flowing = [Flowing(one.frozen.stream, one.frozen.between, one.values, one.error) for one in clean.layers]
    slack = [_slack(*one) for one in zip(clean.layers, gained(frozen), flowing, strict=True)]
    constants = [(layer.frozen.attn_constant, layer.constant) for layer in clean.layers]
    places = None
    if frozen.anatomy.positions is not None:
        places = frozen.anatomy.positions.get_parameter("weight").detach()[: frozen.n_positions]
    return Change(
        embed=frozen.embed if places is None else frozen.embed - places,
        places=places,
        units=[one.units for one in flowing],
        errors=clean.errors,
        constants=constants,
        attn_slack=[attn - constant for (attn, _), (constant, _) in zip(slack, constants, strict=True)],
        mlp_slack=[mlp - constant for (_, mlp), (_, constant) in zip(slack, constants, strict=True)],
        streams=[one.read for one in flowing],
        final=frozen.final,
        target=target_value(frozen, target),
        start=0,
        against=False,
    )


@dataclass(frozen=True)
class Flowing:
    """What flows in one layer: the stream before it, the one that its MLP reads, its units, its error."""

    stream: Float[Tensor, "p d"]
    read: Float[Tensor, "p d"]
    units: Float[Tensor, "p u"]
    error: Float[Tensor, "p d"] | None


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


def _slack(layer: LayerUnits, gain: Gain, flowing: Flowing) -> Gain:
    """What attention and MLP gave beyond what frozen maps make of the stream and of units, and beyond errors."""
    attn, mlp = gain
    mlp = mlp - layer.written(precise(flowing.units))
    if flowing.error is not None:
        mlp = mlp - flowing.error
    if layer.skip is not None:
        mlp = mlp - layer.skip.push(precise(flowing.read)[None])[0]
    return attn - layer.frozen.attended(precise(flowing.stream)), mlp


def _first(embed: Float[Tensor, "p d"]) -> int:
    """The first position that differs; on the prefix before it both prompts compute the same."""
    different = (embed != 0).any(1).nonzero()
    return int(different[0]) if len(different) else embed.shape[0] - 1


def target_value(frozen: Frozen, target: Target) -> float:
    """M on a frozen prompt."""
    return float(target.read(frozen.normed[target.position], frozen.anatomy))
