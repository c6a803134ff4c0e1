"""What flows through the frozen network: values, or what changed against a counterfactual.

Both are the same bookkeeping. Against a counterfactual every source carries clean minus counterfactual,
constants cancel, and what the clean operator does not predict is the nonlinear part. Without one every
source carries its value and the constants are sources of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.circuit.places import Place, arriving, leaving
from microtome.circuit.target import Target
from microtome.model.frozen import Frozen, FrozenLayer

ByStop = Mapping[int, Float[Tensor, "p _"]]


@dataclass(frozen=True)
class Change:
    """Sources of one prompt, exact by place: their sum through the operator is every reader's value.

    Attributes:
        embed: token embeddings, `[p, d]`.
        learned: learned positions, `[p, d]`, or None.
        units: their activations, `[p, u]` a block; blocks may differ in u.
        errors: what no unit wrote, `[p, d]`, by place; none where units leave nothing.
        constants: by stop, what is added there whatever flows; empty in a difference.
        slack: by stop, what was added there that neither units nor the frozen operator give.
        streams: by stop, what reads there meet, as the operator makes it of the stream.
        branch_constants: by stop of a branch that is read, what it gives whatever the stream; empty in a difference.
        target: the target's value, or its change.
        start: first position where anything flows.
        against: whether these are differences.
    """

    embed: Float[Tensor, "p d"]
    learned: Float[Tensor, "p d"] | None
    units: list[Tensor]
    errors: dict[Place, Float[Tensor, "p d"]]
    constants: ByStop
    slack: ByStop
    streams: ByStop
    branch_constants: ByStop
    target: float
    start: int
    against: bool

    @property
    def differs(self) -> Bool[Tensor, "k p u"]:
        """Which units carry anything."""
        return side_by_side(self.units) != 0


def change(clean: Cut, other: Cut | None, target: Target) -> Change:
    """Values of the clean prompt, or its differences to another of the same length."""
    return _values(clean, target) if other is None else _differences(clean, other, target)


def _differences(clean: Cut, other: Cut, target: Target) -> Change:
    here, there = clean.frozen, other.frozen
    learned = None if here.anatomy.positions is None else torch.zeros_like(here.embed)
    units = [a.values - b.values for a, b in zip(clean.blocks, other.blocks, strict=True)]
    errors = {place: error - other.errors[place] for place, error in clean.errors.items()}
    streams = [_minus(a, b) for a, b in zip(_passed(here), _passed(there), strict=True)]
    flowing = _Flowing(clean, streams, units, errors, {})
    return Change(
        embed=here.embed - there.embed,
        learned=learned,
        units=units,
        errors=errors,
        constants={},
        slack=flowing.slack(),
        streams=flowing.streams(),
        branch_constants={},
        target=target.on(here) - target.on(there),
        start=_first(here.embed - there.embed),
        against=True,
    )


def _values(clean: Cut, target: Target) -> Change:
    frozen = clean.frozen
    learned = None
    if frozen.anatomy.positions is not None:
        learned = frozen.anatomy.positions.get_parameter("weight").detach()[: frozen.n_positions]
    units, constants = [block.values for block in clean.blocks], _constants(clean)
    flowing = _Flowing(clean, _passed(frozen), units, clean.errors, constants)
    return Change(
        embed=frozen.embed if learned is None else frozen.embed - learned,
        learned=learned,
        units=units,
        errors=clean.errors,
        constants=constants,
        slack=flowing.slack(),
        streams=flowing.streams(),
        branch_constants=_branch_constants(clean),
        target=target.on(frozen),
        start=0,
        against=False,
    )


@dataclass(frozen=True)
class Passed:
    """The stream of one layer: entering it, between its branches, leaving it."""

    entering: Float[Tensor, "p d"]
    between: Float[Tensor, "p d"]
    leaving: Float[Tensor, "p d"]


def _passed(frozen: Frozen) -> list[Passed]:
    """Every layer's, precise, the rounding of the module's own additions included."""
    ends = [precise(layer.stream) for layer in frozen.layers[1:]] + [precise(frozen.final)]
    found = []
    for layer, end in zip(frozen.layers, ends, strict=True):
        entering = precise(layer.stream)
        between = entering + precise(layer.attention.out) if layer.layer.parallel else precise(layer.between)
        found.append(Passed(entering, between, end))
    return found


def _minus(a: Passed, b: Passed) -> Passed:
    return Passed(a.entering - b.entering, a.between - b.between, a.leaving - b.leaving)


@dataclass(frozen=True)
class _Flowing:
    """What flows in a cut, before it is known what of it the operator gives."""

    cut: Cut
    passed: list[Passed]
    units: list[Tensor]
    errors: Mapping[Place, Float[Tensor, "p d"]]
    constants: ByStop

    def streams(self) -> dict[int, Float[Tensor, "p _"]]:
        """See `Change.streams`."""
        found, read = {}, self.cut.read
        for index, (layer, passed) in enumerate(zip(self.cut.frozen.layers, self.passed, strict=True)):
            out, heads, mlp = (Place(index, kind) for kind in ("attn.out", "attn.heads", "mlp.out"))
            for place, stream in (
                (Place(index, "resid"), passed.entering),
                (Place(index, "resid_mid"), passed.between),
            ):
                found |= {arriving(place): stream, leaving(place): stream}
            found |= {leaving(out): passed.between, leaving(mlp): passed.leaving}
            if heads in read:
                found[arriving(heads)] = layer.attention.push_heads(passed.entering[None])[0]
            if out in read:
                found[arriving(out)] = layer.attention.attended(passed.entering)
            if mlp in read:
                found[arriving(mlp)] = layer.push_mlp(_read_by_mlp(layer, passed)[None])[0]
        last = Place(len(self.passed), "resid")
        return found | {arriving(last): self.passed[-1].leaving, leaving(last): self.passed[-1].leaving}

    def slack(self) -> dict[int, Float[Tensor, "p d"]]:
        """See `Change.slack`."""
        found = {}
        for index, (layer, passed) in enumerate(zip(self.cut.frozen.layers, self.passed, strict=True)):
            out, mlp = Place(index, "attn.out"), Place(index, "mlp.out")
            through = None if out in self.cut.written else layer.attention.attended(passed.entering)
            found[leaving(out)] = self._beyond(out, passed.between - passed.entering, through)
            skip = self.cut.written[mlp].skip
            through = None if skip is None else skip.push(_read_by_mlp(layer, passed)[None])[0]
            found[leaving(mlp)] = self._beyond(mlp, passed.leaving - passed.between, through)
            for place, stream in (
                (Place(index, "resid"), passed.entering),
                (Place(index, "resid_mid"), passed.between),
            ):
                if place in self.cut.written:
                    found[leaving(place)] = self._beyond(place, stream, None)
        last = Place(len(self.passed), "resid")
        if last in self.cut.written:
            found[leaving(last)] = self._beyond(last, self.passed[-1].leaving, None)
        return found

    def _beyond(
        self, place: Place, gained: Float[Tensor, "p d"], through: Float[Tensor, "p d"] | None
    ) -> Float[Tensor, "p d"]:
        """What came at a place beyond what units write there, errors, constants, and what passed beside them."""
        for block, units in zip(self.cut.blocks, self.units, strict=True):
            if place in block.writes:
                gained = gained - block.decode(place, precise(units))
        for other in (through, self.errors.get(place), self.constants.get(leaving(place))):
            gained = gained if other is None else gained - other
        return gained


def _read_by_mlp(layer: FrozenLayer, passed: Passed) -> Float[Tensor, "p d"]:
    return passed.entering if layer.layer.parallel else passed.between


def _constants(cut: Cut) -> dict[int, Float[Tensor, "p d"]]:
    """What is added at each stop whatever flows: by attention, and beside units where they write."""
    found = {leaving(Place(layer.index, "attn.out")): layer.attention.constant for layer in cut.frozen.layers}
    return found | {leaving(place): one.constant for place, one in cut.written.items()}


def _branch_constants(cut: Cut) -> dict[int, Float[Tensor, "p _"]]:
    found = {}
    for place in cut.read:
        if place.kind in ("attn.heads", "attn.out", "mlp.out"):
            layer = cut.frozen.layers[place.layer]
            found[arriving(place)] = {
                "attn.heads": lambda one: one.attention.heads_constant,
                "attn.out": lambda one: one.attention.constant,
                "mlp.out": lambda one: one.mlp_constant + one.written(one.unit_constants),
            }[place.kind](layer)
    return found


def precise(x: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """In float64, where the device has it: sums must be exact to better than the float32 of the network."""
    return x if x.device.type == "mps" else x.double()


def _first(embed: Float[Tensor, "p d"]) -> int:
    """The first position that differs; on the prefix before it both prompts compute the same."""
    different = (embed != 0).any(1).nonzero()
    return int(different[0]) if len(different) else embed.shape[0] - 1
