"""What a basis gives: prompts cut into blocks of units, and what stands at each place that units write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from microtome.circuit.places import Place
from microtome.core.registry import Registry
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen


@runtime_checkable
class Skip(Protocol):
    """A linear path beside the units of an MLP, from the stream that its norm reads to the one that it writes."""

    def push(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """What it adds for streams, constants left out; `start` is the prompt's position that is first in `x`."""
        ...

    def pull(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """The transpose: from gradients after the MLP to those before its norm."""
        ...


@runtime_checkable
class BlockUnits(Protocol):
    """Units of one block at one prompt, which read the same places and write the same; all of it is linear there.

    A unit is named by its column among those of the prompt, `[u]`. Vectors are on the stream: reads past a norm are
    pulled through it, and `w` is the width of the place (of `attn.heads` all heads side by side).

    Attributes:
        name: what the block is called in a graph, such as `mlp.neurons.3` or `resid.15`.
        layer: in which its nodes are drawn.
        reads, writes: places. None of those that it reads lies above one that it writes.
        origin: whose units they are: a fingerprint of the weights, or nothing where they are the model's own.
        ids: what the basis calls the unit of each column, rising.
        columns: which of the block's units, counted from its first, each column stands for.
        values: activations.
        n_units: how many units the block has, with those that no column stands for.
        sites: where `means` finds what is read.
        live: sites whose gradients in a live pass `live_gradients` takes.
    """

    name: str
    layer: int
    reads: tuple[Place, ...]
    writes: tuple[Place, ...]
    origin: str
    ids: Int[Tensor, "u"]
    columns: Int[Tensor, "u"]
    values: Float[Tensor, "p u"]
    n_units: int
    sites: tuple[str, ...]
    live: tuple[str, ...]

    @property
    def norms(self) -> Float[Tensor, "#p u"]:
        """Length of what one unit of activation writes, over all places."""
        ...

    def read(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n w"]:
        """Read vectors at one of its places."""
        ...

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What a unit has without any stream."""
        ...

    def write(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """What one unit of activation adds to the stream at one of its places."""
        ...

    def decode(self, place: Place, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """What activations add to the stream together at a place, nothing else with it."""
        ...

    def gradients(self, place: Place, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """From a gradient on the stream at a place that it writes to the part that it has in those on its units."""
        ...

    def pull(self, place: Place, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p w"]:
        """From gradients on units to one of the places that they read."""
        ...

    def live_gradients(self, found: Mapping[str, Tensor]) -> Float[Tensor, "p u"]:
        """From a live pass's gradients at the sites `live` to those on its units."""
        ...

    def means(self, x: Mapping[str, Tensor]) -> Float[Tensor, "n_units"]:
        """Activations of all the block's units, averaged over tokens, from what stands at `sites`, a row a token."""
        ...

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """The edit that gives units these activations, where a mask says so, and leaves all else as it is."""
        ...


@dataclass(frozen=True, eq=False)
class Written:
    """What stands at a place that units write, beside them.

    Attributes:
        constant: what is there whatever the units do, `[p, d]`.
        error: what no unit wrote, `[p, d]`; None where there is nothing of the kind.
        skip: a linear path beside the units, or None.
    """

    constant: Float[Tensor, "p d"]
    error: Float[Tensor, "p d"] | None = None
    skip: Skip | None = None


@dataclass(frozen=True, eq=False)
class Slice:
    """Blocks that one part of a basis cuts out of a prompt, and what stands beside them at the places they write."""

    blocks: Sequence[BlockUnits]
    written: Mapping[Place, Written]


@dataclass(frozen=True, eq=False)
class Cut:
    """A frozen prompt cut into blocks of units.

    Attributes:
        frozen: the prompt.
        blocks: in the order in which the last of what each reads passes.
        written: what stands beside units at each place that they write. There the pass is cut: what lies below
            reaches what lies above through units, error and skip alone.
        asked: places inside branches that a target reads.
    """

    frozen: Frozen
    blocks: Sequence[BlockUnits]
    written: Mapping[Place, Written]
    asked: frozenset[Place] = frozenset()

    @cached_property
    def values(self) -> Float[Tensor, "k p u"]:
        """Activations of all blocks."""
        return side_by_side([block.values for block in self.blocks])

    @property
    def errors(self) -> dict[Place, Float[Tensor, "p d"]]:
        """What at each place is no unit's, where there is anything of the kind."""
        return {place: one.error for place, one in self.written.items() if one.error is not None}

    @cached_property
    def read(self) -> frozenset[Place]:
        """Places that units or the target read."""
        return self.asked.union(place for block in self.blocks for place in block.reads)

    @property
    def n_candidates(self) -> int:
        """How many units there are at all positions together."""
        return self.frozen.n_positions * sum(block.n_units for block in self.blocks)


@runtime_checkable
class Part(Protocol):
    """Units of one kind: neurons, coordinates of heads, one dictionary."""

    def cut(self, prompts: Sequence[Frozen]) -> list[Slice]:
        """Its blocks in each of the prompts, with the same units in the same columns."""
        ...


@dataclass(frozen=True)
class Basis:
    """Units into which prompts are cut. MLPs for which no part has units are cut into neurons.

    Attributes:
        name: what the user calls it.
        card: what a run card says of it.
        parts: what stands at which places.
    """

    name: str
    card: dict[str, Any] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


def side_by_side(blocks: Sequence[Float[Tensor, "*p _"]]) -> Float[Tensor, "k *p u"]:
    """Units of all blocks as one tensor; narrower blocks are padded with zeros, which no choice ever takes."""
    widest = max(block.shape[-1] for block in blocks)
    return torch.stack([pad(block, (0, widest - block.shape[-1])) for block in blocks])


BASES: Registry[Basis] = Registry("basis", folder="microtome.circuit.bases")
"""Bases that need no training: one file each."""
