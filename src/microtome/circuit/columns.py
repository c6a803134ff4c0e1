"""The layout of the edge matrix: which columns hold which sources, and what each column is."""

from dataclasses import dataclass
from itertools import pairwise

from microtome.circuit.change import Change
from microtome.circuit.graph import Kind
from microtome.circuit.places import Place


@dataclass(frozen=True)
class Columns:
    """Columns of the matrix: all sources that are nodes, in this order, then the remainder and the nonlinear term.

    Attributes:
        units: how many chosen units there are.
        positions: of the prompt; so many embeddings, and so many errors a place.
        learned: whether the family has learned positions.
        error_places: where units leave an error.
        layers: of the model; each has its biases, and so has the end.
    """

    units: int
    positions: int
    learned: bool
    error_places: tuple[Place, ...]
    layers: int

    @classmethod
    def of(cls, flow: Change, units: int, layers: int) -> "Columns":
        """Those of so many chosen units among what flows."""
        return cls(units, len(flow.embed), flow.learned is not None, tuple(flow.errors), layers)

    @property
    def sizes(self) -> dict[Kind, int]:
        """How many columns each kind of source has, in their order."""
        return {
            "unit": self.units,
            "embedding": self.positions,
            "position": self.positions * self.learned,
            "error": self.positions * len(self.error_places),
            "bias": self.layers + 1,
        }

    @property
    def slices(self) -> dict[Kind, slice]:
        """The columns of each kind."""
        ends = [0]
        for size in self.sizes.values():
            ends.append(ends[-1] + size)
        return {kind: slice(*span) for kind, span in zip(self.sizes, pairwise(ends), strict=True)}

    @property
    def sources(self) -> int:
        """All columns of sources that are nodes."""
        return sum(self.sizes.values())

    @property
    def width(self) -> int:
        """Those of sources, of the remainder and of the nonlinear term."""
        return self.sources + 2

    def bias(self, layer: int) -> int:
        """The column of a layer's biases; the number of layers stands for the end."""
        return self.slices["bias"].start + layer

    def find(self, column: int) -> tuple[Kind, int]:
        """What stands in a column: which kind, and which of it. The one after the last source is the logit."""
        for kind, size in self.sizes.items():
            if column < size:
                return kind, column
            column -= size
        return "logit", column

    def error(self, index: int) -> tuple[Place, int]:
        """Place and position of an error."""
        which, position = divmod(index, self.positions)
        return self.error_places[which], position
