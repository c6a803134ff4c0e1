"""The frozen linear operator: read vectors carried down the stream, layer by layer, on the weights.

What a unit writes reaches what another reads only through residual connections and frozen attention. A
read vector pulled down to a layer says, at every position, what writing there would do to the reader.
No autograd graph, no copy of the model; memory is bounded by the chunk of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.model.frozen import Frozen

ROWS_AT_ONCE = 512
"""Rows carried together: enough for large products, little enough for memory."""


@dataclass(frozen=True)
class Rows:
    """Read vectors on the stream, and where each is read.

    Attributes:
        layers: reading layer; the number of layers for what reads the final stream.
        positions: reading position.
        vectors: `[n, d]`.
    """

    layers: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    vectors: Float[Tensor, "n d"]

    def __len__(self) -> int:
        return len(self.layers)

    def chunks(self, which: Int[Tensor, "m"], size: int = ROWS_AT_ONCE) -> Iterator[Int[Tensor, "k"]]:
        """Indices of rows to carry together, of those asked for.

        Rows of near positions go together, because a row needs only positions up to its own; within a
        chunk the latest layers come first, because a walk goes down and the rows alive are then the first.
        """
        by_position = which[self.positions[which].argsort(stable=True)]
        for part in by_position.split(size):
            yield part[self.layers[part].argsort(descending=True, stable=True)]


@dataclass(frozen=True)
class Moment:
    """A stop on the way down: where the rows that are alive may meet what was written.

    Attributes:
        place: before a layer's `mlp` output, before its `attention` output, or at the `embed`ding.
        layer: which layer; -1 at the embedding.
        alive: how many of the chunk's rows have begun above here.
        g: their vectors, `[p, alive, d]`; position 0 of `g` is position `start` of the prompt.
    """

    place: Literal["mlp", "attention", "embed"]
    layer: int
    alive: int
    g: Float[Tensor, "p alive d"]


class LinearOperator:
    """The frozen network of one prompt, as the map from what is written to what is read.

    Args:
        frozen: the prompt's frozen values.
        start: first position that can matter (what is written before it is the same on both prompts).
    """

    def __init__(self, frozen: Frozen, start: int = 0):
        self.frozen, self.start = frozen, start

    def walk(self, rows: Rows) -> Iterator[Moment]:
        """Carries rows (the latest layer first) down to the embedding, stopping wherever something writes.

        `Moment.g` is a view that the next step changes: use it before asking for the next.
        """
        layers = self.frozen.layers
        stop = int(rows.positions.max()) + 1
        g = rows.vectors.new_zeros(stop - self.start, len(rows), rows.vectors.shape[1])
        alive = self._begin(g, rows, 0, len(layers))
        for index in reversed(range(len(layers))):
            layer = layers[index]
            yield Moment("mlp", index, alive, g[:, :alive])
            if not layer.layer.parallel:
                alive = self._begin(g, rows, alive, index)
            yield Moment("attention", index, alive, g[:, :alive])
            if alive:
                g[:, :alive] += layer.pull_attention(g[:, :alive].contiguous(), self.start)
            if layer.layer.parallel:
                alive = self._begin(g, rows, alive, index)
        yield Moment("embed", -1, alive, g[:, :alive])

    def _begin(self, g: Float[Tensor, "p n d"], rows: Rows, alive: int, layer: int) -> int:
        """Adds the rows that read at this layer; returns how many are alive then."""
        end = alive + int((rows.layers[alive:] == layer).sum())
        new = torch.arange(alive, end, device=g.device)
        g[rows.positions[alive:end] - self.start, new] += rows.vectors[alive:end]
        return end

    def pull(
        self,
        layer: int,
        positions: Int[Tensor, "n"],
        vectors: Float[Tensor, "n d"],
    ) -> list[Float[Tensor, "n p d"]]:
        """Read vectors at a layer carried down: for every lower layer, what to contract with what its MLP wrote.

        Args:
            layer: where they read (the stream before its MLP).
            positions: of the readers.
            vectors: on the stream.

        Returns:
            one tensor a layer below, from layer 0, over positions from `start`.
        """
        rows = Rows(torch.full_like(positions, layer), positions, vectors)
        found = [
            moment.g.permute(1, 0, 2).clone()
            for moment in self.walk(rows)
            if moment.place == "mlp" and moment.layer < layer
        ]
        return found[::-1]
