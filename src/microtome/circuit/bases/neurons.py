"""Neurons: hidden units of the MLP. They need no training and leave no error."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.circuit.basis import BASES, Cut, Skip
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen, FrozenLayer


class NeuronLayer:
    """Reads follow at the prompt from the half rule (identity rule without a gate); writes are columns of W_down."""

    def __init__(self, frozen: FrozenLayer):
        self.frozen, self.values, self.n_units = frozen, frozen.neurons, frozen.neurons.shape[1]
        self.ids = torch.arange(self.n_units, device=self.values.device)
        self.error: Float[Tensor, "p d"] | None = None
        self.skip: Skip | None = None
        self.reads = self.writes = f"mlp.neurons.{frozen.index}"

    @property
    def constant(self) -> Float[Tensor, "p d"]:
        """See `LayerUnits.constant`."""
        return self.frozen.mlp_constant

    @property
    def norms(self) -> Float[Tensor, "1 u"]:
        """See `LayerUnits.norms`."""
        return self.frozen.writes.norm(dim=0)[None]

    def read(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `LayerUnits.read`."""
        return self.frozen.reads(positions, columns)

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `LayerUnits.read_constant`."""
        return self.frozen.read_constants(positions, columns)

    def write(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `LayerUnits.write`."""
        found = self.frozen.writes[:, columns].T
        return found * self.frozen.write_scale(found)[positions]

    def written(self, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `LayerUnits.written`."""
        return self.frozen.written(values)

    def gradients(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `LayerUnits.gradients`."""
        return self.frozen.unit_gradients(g)

    def pull(self, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `LayerUnits.pull`."""
        return self.frozen.pull_units(gradients)

    def live_gradients(self, g: Float[Tensor, "p u"]) -> Float[Tensor, "p u"]:
        """See `LayerUnits.live_gradients`."""
        return g

    def amounts(self, x: Float[Tensor, "*b p u"]) -> Float[Tensor, "*b p u"]:
        """See `LayerUnits.amounts`."""
        return x

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """See `LayerUnits.set`."""
        return edits.set(self.reads, values[None], where=where, may_be_empty=True)


class Neurons:
    """Every hidden unit of every MLP."""

    def __init__(self) -> None:
        self.name = "neurons"
        self.card: dict[str, Any] = {}

    def cut(self, clean: Frozen, other: Frozen | None) -> tuple[Cut, Cut | None]:
        """See `Basis.cut`."""
        return _cut(clean), None if other is None else _cut(other)


def _cut(frozen: Frozen) -> Cut:
    return Cut(frozen, [NeuronLayer(layer) for layer in frozen.layers])


NEURONS = BASES.add("neurons", Neurons(), summary="hidden units of the MLPs; no training, no error", home=__name__)
