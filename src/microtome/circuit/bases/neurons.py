"""Neurons: hidden units of the MLP. They need no training and leave no error."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.circuit.basis import BASES, Basis, Slice, Written
from microtome.circuit.places import Place
from microtome.model import edits
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen, FrozenLayer


class NeuronBlock:
    """Reads follow at the prompt from the half rule (identity rule without a gate); writes are columns of W_down."""

    def __init__(self, frozen: FrozenLayer):
        self.frozen, self.layer = frozen, frozen.index
        self.values, self.n_units = frozen.neurons, frozen.neurons.shape[1]
        self.ids = self.columns = torch.arange(self.n_units, device=self.values.device)
        self.name, self.origin = f"mlp.neurons.{self.layer}", ""
        self.sites = self.live = (self.name,)
        self.reads, self.writes = (Place(self.layer, "mlp.in"),), (Place(self.layer, "mlp.out"),)

    @property
    def norms(self) -> Float[Tensor, "1 u"]:
        """See `BlockUnits.norms`."""
        return self.frozen.writes.norm(dim=0)[None]

    def read(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `BlockUnits.read`."""
        return self.frozen.reads(positions, columns)

    def read_constant(self, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `BlockUnits.read_constant`."""
        return self.frozen.read_constants(positions, columns)

    def write(self, place: Place, positions: Int[Tensor, "n"], columns: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `BlockUnits.write`."""
        found = self.frozen.writes[:, columns].T
        return found * self.frozen.write_scale(found)[positions]

    def decode(self, place: Place, values: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `BlockUnits.decode`."""
        return self.frozen.written(values)

    def gradients(self, place: Place, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.gradients`."""
        return self.frozen.unit_gradients(g)

    def pull(self, place: Place, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """See `BlockUnits.pull`."""
        return self.frozen.pull_units(gradients)

    def live_gradients(self, found: Mapping[str, Tensor]) -> Float[Tensor, "p u"]:
        """See `BlockUnits.live_gradients`."""
        return found[self.name]

    def means(self, x: Mapping[str, Tensor]) -> Float[Tensor, "u"]:
        """See `BlockUnits.means`."""
        return x[self.name].mean(0)

    def set(self, values: Float[Tensor, "p u"], where: Bool[Tensor, "s p u"]) -> Edit:
        """See `BlockUnits.set`."""
        return edits.set(self.name, values[None], where=where, may_be_empty=True)


class Neurons:
    """Hidden units of MLPs.

    Args:
        layers: whose; None for all.
    """

    def __init__(self, layers: Sequence[int] | None = None):
        self.layers = layers

    def cut(self, prompts: Sequence[Frozen]) -> list[Slice]:
        """See `Part.cut`."""
        return [self._slice(prompt) for prompt in prompts]

    def _slice(self, prompt: Frozen) -> Slice:
        chosen = [one for one in prompt.layers if self.layers is None or one.index in self.layers]
        return Slice(
            [NeuronBlock(layer) for layer in chosen],
            {Place(layer.index, "mlp.out"): Written(layer.mlp_constant) for layer in chosen},
        )


NEURONS = BASES.add(
    "neurons", Basis("neurons"), summary="hidden units of the MLPs; no training, no error", home=__name__
)
