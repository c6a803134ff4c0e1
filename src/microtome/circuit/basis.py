"""What a basis gives: prompts whose MLPs are cut into units, and what each unit reads and writes there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from microtome.core.registry import Registry
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen, FrozenLayer


@runtime_checkable
class Skip(Protocol):
    """A linear path beside the units, from the stream that an MLP's norm reads to the one that the MLP writes."""

    def push(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """What it adds for streams, constants left out; `start` is the prompt's position that is first in `x`."""
        ...

    def pull(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """The transpose: from gradients after the MLP to those before its norm."""
        ...


@runtime_checkable
class LayerUnits(Protocol):
    """Units of one layer's MLP at one prompt; what they read and write is linear there.

    The MLP's output is what units write, plus `constant`, plus what `skip` carries, plus `error`. A unit is named by
    its column among those of the prompt, `[u]`.

    Attributes:
        frozen: the layer of the frozen network.
        ids: what the basis calls the unit of each column, rising.
        values: activations.
        n_units: how many units the basis has here, with those that no column stands for.
        error: what of the MLP's output is no unit's; None where there is nothing of the kind.
        skip: a linear path beside the units, or None.
        reads: the site from which `amounts` tells activations.
        writes: the site whose gradient in a live pass `live_gradients` takes.
    """

    frozen: FrozenLayer
    ids: Int[Tensor, "u"]
    values: Float[Tensor, "p u"]
    n_units: int
    error: Float[Tensor, "p d"] | None
    skip: Skip | None
    reads: str
    writes: str

    @property
    def constant(self) -> Float[Tensor, "p d"]:
        """What the MLP adds whatever its units do."""
        ...

    @property
    def norms(self) -> Float[Tensor, "#p u"]:
        """Length of what one unit of activation writes."""
        ...

    def read(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Read vectors on the stream that the MLP's norm reads."""
        ...

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What a unit has without any stream."""
        ...

    def write(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """What one unit of activation adds to the stream."""
        ...

    def written(self, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """What activations add to the stream together."""
        ...

    def gradients(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """From a gradient on the stream after the MLP to one on its units."""
        ...

    def pull(self, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """From gradients on units to the stream that the MLP's norm reads."""
        ...

    def live_gradients(self, g: Float[Tensor, "p e"]) -> Float[Tensor, "p u"]:
        """From a live pass's gradient at the site `writes` to one on its units."""
        ...

    def amounts(self, x: Float[Tensor, "*b p e"]) -> Float[Tensor, "*b p u"]:
        """Activations on any inputs, from what stands at the site `reads` there."""
        ...

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """The edit that gives units these activations, where a mask says so, and leaves all else as it is."""
        ...


@dataclass(frozen=True, eq=False)
class Cut:
    """A frozen prompt whose MLPs are cut into units.

    Attributes:
        frozen: the prompt.
        layers: units of each layer.
    """

    frozen: Frozen
    layers: Sequence[LayerUnits]

    @property
    def values(self) -> Float[Tensor, "l p u"]:
        """Activations of all layers."""
        return side_by_side([layer.values for layer in self.layers])

    @property
    def errors(self) -> dict[int, Float[Tensor, "p d"]]:
        """What of each layer's MLP is no unit's, where there is anything of the kind."""
        return {i: layer.error for i, layer in enumerate(self.layers) if layer.error is not None}

    @property
    def n_places(self) -> int:
        """How many units there are at all positions together."""
        return self.frozen.n_positions * sum(layer.n_units for layer in self.layers)


@runtime_checkable
class Basis(Protocol):
    """Units of one kind in every layer's MLP.

    Attributes:
        name: what the user calls it.
        card: what a run card says of it.
    """

    name: str
    card: dict[str, Any]

    def cut(self, clean: Frozen, other: Frozen | None) -> tuple[Cut, Cut | None]:
        """Both prompts in this basis, with the same units in the same columns."""
        ...


def side_by_side(layers: Sequence[Float[Tensor, "*p _"]]) -> Float[Tensor, "l *p u"]:
    """Units of all layers as one tensor; narrower layers are padded with zeros, which no choice ever takes."""
    widest = max(layer.shape[-1] for layer in layers)
    return torch.stack([pad(layer, (0, widest - layer.shape[-1])) for layer in layers])


BASES: Registry[Basis] = Registry("basis")
"""Bases in which a circuit can be told and that need no training: one file each."""
