"""What a basis gives: units at a layer of one prompt, with what each reads and writes there."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.registry import Registry
from microtome.model.frozen import FrozenLayer


@runtime_checkable
class Basis(Protocol):
    """Units of one kind in every layer's MLP."""

    def read(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Read vectors on the stream, at this prompt."""
        ...

    def constant(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What a unit has without any stream."""
        ...

    def write(self, layer: FrozenLayer, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """What one unit of activation adds to the stream."""
        ...


BASES: Registry[Basis] = Registry("basis")
