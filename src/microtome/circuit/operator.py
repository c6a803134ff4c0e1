"""The frozen linear operator: vectors carried along the stream, layer by layer, on the weights.

What a unit writes reaches what another reads only through residual connections and frozen attention. A read
vector carried *down* says, at every position, what writing there would do to the reader; what was written,
carried *up*, says what of it arrives where others read. The two are transposes of each other. No autograd
graph, no copy of the model; memory is bounded by the chunk that is carried together.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Cut

NUMBERS_AT_ONCE = 2**24
"""Numbers on the stream carried together: enough for large products, little enough for memory (64 MB)."""

Place = Literal["embed", "attention", "mlp"]


@dataclass(frozen=True)
class Placed:
    """Vectors on the stream, each read or written at one layer and position.

    Attributes:
        layers: the MLP that reads or writes; -1 for what the embedding writes, the number of layers for what
            reads the final stream.
        positions: of the prompt.
        vectors: `[n, d]`.
    """

    layers: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    vectors: Float[Tensor, "n d"]

    def __len__(self) -> int:
        return len(self.layers)

    def take(self, which: Int[Tensor, "k"]) -> "Placed":
        """Some of them."""
        return Placed(self.layers[which], self.positions[which], self.vectors[which])


@runtime_checkable
class Writer(Protocol):
    """What enters the stream on the way up."""

    @property
    def start(self) -> int:
        """First position where anything is written."""
        ...

    @property
    def n(self) -> int:
        """How many streams are carried side by side."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which they are carried."""
        ...

    def enter(self, x: Float[Tensor, "n p d"], place: Place, layer: int) -> int:
        """Adds what is written at a place; returns how many of the streams (a prefix) carry anything by then."""
        ...


class Separately:
    """Writes placed one by one, the lowest layer first: each on a stream of its own."""

    def __init__(self, placed: Placed):
        self.placed, self.start, self.n = placed, int(placed.positions.min()), len(placed)
        self.dtype = placed.vectors.dtype
        self._alive = 0

    def enter(self, x: Float[Tensor, "n p d"], place: Place, layer: int) -> int:
        """See `Writer.enter`."""
        if place != "attention":
            first, layers = self._alive, self.placed.layers
            self._alive += int((layers[first:] == layer).sum())
            new = torch.arange(first, self._alive, device=x.device)
            x[new, self.placed.positions[new] - self.start] += self.placed.vectors[new]
        return self._alive


@dataclass(frozen=True)
class Moment:
    """A stop on the way, where what is carried meets what reads or writes there.

    Attributes:
        place: up: where an MLP (or the end) reads. Down: before a layer's `mlp` output, before its
            `attention` output, or at the `embed`ding.
        layer: which; -1 at the embedding, the number of layers at the end.
        alive: how many of the chunk's vectors (a prefix) have set out.
        start: the prompt's position that is first in `x`.
        x: `[alive, p, d]`, a view that the next step changes.
    """

    place: Place
    layer: int
    alive: int
    start: int
    x: Float[Tensor, "alive p d"]


class LinearOperator:
    """The frozen network of one prompt, as the map between what is written and what is read.

    Args:
        cut: the prompt's frozen values, and what of its MLPs is linear beside their units.
        start: first position that can matter (what is written before it is the same on both prompts).
    """

    def __init__(self, cut: Cut, start: int = 0):
        self.frozen, self.layers, self.start = cut.frozen, cut.layers, start

    def parts(self, placed: Placed, *, upwards: bool) -> list[Int[Tensor, "k"]]:
        """Indices of vectors to carry together, of those that stand where anything flows.

        Those of near positions go together: a vector on its way up needs only positions from its own on,
        one on its way down only those up to it. Within a part those that set out first come first, so that
        the ones under way are always a prefix.
        """
        flowing = (placed.positions >= self.start).nonzero()[:, 0]
        by_position = flowing[placed.positions[flowing].argsort(stable=True)]
        size = max(1, NUMBERS_AT_ONCE // ((self.frozen.n_positions - self.start) * placed.vectors.shape[1]))
        parts = by_position.split(size)
        return [part[placed.layers[part].argsort(descending=not upwards, stable=True)] for part in parts if len(part)]

    def up(self, writer: Writer) -> Iterator[Moment]:
        """Carries what is written up to the final stream, stopping wherever an MLP reads, and at the end."""
        layers, start = self.layers, writer.start
        size = (writer.n, self.frozen.n_positions - start, self.frozen.embed.shape[1])
        x = torch.zeros(size, dtype=writer.dtype, device=self.frozen.embed.device)
        alive = writer.enter(x, "embed", -1)
        for index, layer in enumerate(layers):
            parallel, beside = layer.frozen.layer.parallel, None
            if parallel:
                yield Moment("mlp", index, alive, start, x[:alive])
                beside = None if layer.skip is None else layer.skip.push(x[:alive], start)
            if alive:
                x[:alive] += layer.frozen.push_attention(x[:alive], start)
            alive = writer.enter(x, "attention", index)
            if not parallel:
                yield Moment("mlp", index, alive, start, x[:alive])
                beside = None if layer.skip is None else layer.skip.push(x[:alive], start)
            if beside is not None:
                x[: len(beside)] += beside
            alive = writer.enter(x, "mlp", index)
        yield Moment("mlp", len(layers), alive, start, x[:alive])

    def down(self, readers: Placed) -> Iterator[Moment]:
        """Carries read vectors (the latest layer first) to the embedding, stopping wherever something writes."""
        layers, start = self.layers, self.start
        g = readers.vectors.new_zeros(len(readers), int(readers.positions.max()) + 1 - start, readers.vectors.shape[1])
        alive = self._begin(g, readers, 0, len(layers))
        for index in reversed(range(len(layers))):
            layer = layers[index]
            parallel = layer.frozen.layer.parallel
            yield Moment("mlp", index, alive, start, g[:alive])
            beside = None if layer.skip is None else layer.skip.pull(g[:alive], start)
            if beside is not None and not parallel:
                g[:alive] += beside
            if not parallel:
                alive = self._begin(g, readers, alive, index)
            yield Moment("attention", index, alive, start, g[:alive])
            if alive:
                g[:alive] += layer.frozen.pull_attention(g[:alive], start)
            if beside is not None and parallel:
                g[:alive] += beside
            if parallel:
                alive = self._begin(g, readers, alive, index)
        yield Moment("embed", -1, alive, start, g[:alive])

    def _begin(self, g: Float[Tensor, "n p d"], readers: Placed, alive: int, layer: int) -> int:
        """Adds the readers of this layer; returns how many are alive then."""
        end = alive + int((readers.layers[alive:] == layer).sum())
        new = torch.arange(alive, end, device=g.device)
        g[new, readers.positions[new] - self.start] += readers.vectors[new]
        return end

    def pull(
        self, layer: int, positions: Int[Tensor, "n"], vectors: Float[Tensor, "n d"]
    ) -> list[Float[Tensor, "n p d"]]:
        """Read vectors at a layer carried down: for every lower layer, what to contract with what its MLP wrote.

        Args:
            layer: where they read (the stream before its MLP).
            positions: of the readers.
            vectors: on the stream.

        Returns:
            one tensor a layer below, from layer 0, over positions from `start`.
        """
        readers = Placed(torch.full_like(positions, layer), positions, vectors)
        found = [moment.x.clone() for moment in self.down(readers) if moment.place == "mlp" and moment.layer < layer]
        return found[::-1]
