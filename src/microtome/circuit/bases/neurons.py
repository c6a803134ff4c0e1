"""Neurons: hidden units of the MLP. They need no training and leave no error."""

from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import BASES
from microtome.model.frozen import FrozenLayer


class Neurons:
    """Reads follow at the prompt from the half rule (identity rule without a gate); writes are columns of W_down."""

    def read(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `Basis.read`."""
        return layer.reads(positions, units)

    def constant(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """See `Basis.constant`."""
        return layer.read_constants(positions, units)

    def write(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """See `Basis.write`."""
        columns = layer.writes[:, units].T
        return columns * layer.write_scale(columns)[positions]


BASES.add("neurons", Neurons(), summary="hidden units of the MLPs; no training, no error", home=__name__)
