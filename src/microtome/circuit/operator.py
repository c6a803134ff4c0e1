"""The frozen linear operator: vectors carried along the stream, stop by stop, on the weights.

What a unit writes reaches what another reads only through residual connections, frozen attention, and the skips and
frozen MLPs that no units stand for. A read vector carried *down* says, at every position, what writing there would do
to the reader; what was written, carried *up*, says what of it arrives where others read. The two are transposes of
each other. Where units write a place, the pass is cut there. No autograd graph, no copy of the model; memory is
bounded by the chunk that is carried together.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Cut, Skip
from microtome.circuit.placed import Placed
from microtome.circuit.places import Place, arriving, leaving, reading

NUMBERS_AT_ONCE = 2**24
"""Numbers on the stream carried together: enough for large products, little enough for memory (64 MB)."""


@runtime_checkable
class Carried(Protocol):
    """What sets out on the way: writes on the way up, read vectors on the way down."""

    @property
    def start(self) -> int:
        """First position where anything can stand."""
        ...

    @property
    def end(self) -> int:
        """The position after the last one where anything can stand."""
        ...

    @property
    def n(self) -> int:
        """How many vectors are carried side by side."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """In which they are carried."""
        ...

    def enter(self, x: Float[Tensor, "n p w"], stop: int) -> int:
        """Adds what sets out at a stop; returns how many of the vectors (a prefix) are under way by then."""
        ...


class Separately:
    """Placed vectors, those that set out first come first: each owner's on a row of its own."""

    def __init__(self, placed: Placed, start: int, end: int):
        self.placed, self.start, self.end, self.n = placed, start, end, placed.n
        self.dtype = placed.vectors.dtype
        self._rows = placed.by_stop()
        self._alive = 0

    def enter(self, x: Float[Tensor, "n p w"], stop: int) -> int:
        """See `Carried.enter`."""
        if (rows := self._rows.get(stop)) is not None:
            owners = self.placed.owners[rows]
            x[owners, self.placed.positions[rows] - self.start] += self.placed.vectors[rows, : x.shape[2]]
            self._alive = max(self._alive, int(owners.max()) + 1)
        return self._alive


@dataclass(frozen=True)
class Moment:
    """A stop on the way, where what is carried meets what reads or writes there.

    Attributes:
        stop: which (`places`).
        alive: how many of the chunk's vectors (a prefix) have set out.
        start: the prompt's position that is first in `x`.
        x: `[alive, p, w]`, a view that the next step changes.
    """

    stop: int
    alive: int
    start: int
    x: Float[Tensor, "alive p w"]


class LinearOperator:
    """The frozen network of one prompt, as the map between what is written and what is read.

    Args:
        cut: the prompt's frozen values, and where units stand for a part of it.
        start: first position that can matter (what is written before it is the same on both prompts).
    """

    def __init__(self, cut: Cut, start: int = 0):
        self.cut, self.frozen, self.start = cut, cut.frozen, start

    def parts(self, placed: Placed, *, upwards: bool) -> list[Int[Tensor, "k"]]:
        """Owners of vectors to carry together, of those that stand where anything flows.

        Those of near positions go together: a vector on its way up needs only positions from its own on,
        one on its way down only those up to it. Within a part those that set out first come first, so that
        the ones under way are always a prefix.
        """
        stops, positions = placed.first_stops(upwards=upwards), placed.owner_positions()
        flowing = (positions >= self.start).nonzero()[:, 0]
        by_position = flowing[positions[flowing].argsort(stable=True)]
        size = max(1, NUMBERS_AT_ONCE // ((self.frozen.n_positions - self.start) * placed.vectors.shape[1]))
        parts = by_position.split(size)
        return [part[stops[part].argsort(descending=not upwards, stable=True)] for part in parts if len(part)]

    def up(self, writer: Carried) -> Iterator[Moment]:
        """Carries what is written up to the final stream, stopping wherever anything reads."""
        way, parallel = _Way(self.cut, writer), self.frozen.parallel
        for index in range(len(self.frozen.layers)):
            yield from way.past(Place(index, "resid"))
            if parallel:
                beside = yield from self._up_mlp(way, index)
                yield from self._up_attention(way, index)
            else:
                yield from self._up_attention(way, index)
                yield from way.past(Place(index, "resid_mid"))
                beside = yield from self._up_mlp(way, index)
            way.add(beside)
            yield from way.leave(Place(index, "mlp.out"))
        yield from way.past(Place(len(self.frozen.layers), "resid"))

    def _up_mlp(self, way: "_Way", index: int) -> Generator[Moment, None, Tensor | None]:
        """What passes an MLP beside its units; on the way, what the frozen MLP gives, where that is read."""
        out = Place(index, "mlp.out")
        if out in self.cut.read:
            yield Moment(arriving(out), way.alive, way.start, self.frozen.layers[index].push_mlp(way.now, way.start))
        return way.skipped(index)

    def _up_attention(self, way: "_Way", index: int) -> Iterator[Moment]:
        layer, heads, out = self.frozen.layers[index], Place(index, "attn.heads"), Place(index, "attn.out")
        is_cut = out in self.cut.written
        if way.alive and (not is_cut or self.cut.read & {heads, out}):
            mixed = layer.attention.push_heads(way.now, way.start)
            if heads in self.cut.read:
                yield Moment(arriving(heads), way.alive, way.start, mixed)
            if not is_cut or out in self.cut.read:
                added = layer.attention.push_outputs(mixed)
                yield Moment(arriving(out), way.alive, way.start, added)
                way.add(None if is_cut else added)
        yield from way.leave(out)

    def down(self, readers: Carried) -> Iterator[Moment]:
        """Carries read vectors to the embedding, stopping wherever anything writes."""
        way, parallel = _Way(self.cut, readers), self.frozen.parallel
        yield from way.back_past(Place(len(self.frozen.layers), "resid"))
        for index in reversed(range(len(self.frozen.layers))):
            out, layer = Place(index, "mlp.out"), self.frozen.layers[index]
            yield from way.leave(out)
            beside = way.skipped_back(index)
            if out in self.cut.read:
                branch = way.branch(arriving(out), layer.layer.sizes.d)
                beside = _sum(beside, layer.pull_mlp(branch, way.start))
            if not parallel:
                way.add(beside)
                yield from way.back_past(Place(index, "resid_mid"))
            yield from self._down_attention(way, index)
            if parallel:
                way.add(beside)
            yield from way.back_past(Place(index, "resid"))

    def _down_attention(self, way: "_Way", index: int) -> Iterator[Moment]:
        layer, heads, out = self.frozen.layers[index], Place(index, "attn.heads"), Place(index, "attn.out")
        size = layer.layer.sizes
        yield from way.leave(out)
        mixed = None
        if out not in self.cut.written:
            mixed = layer.attention.pull_outputs(way.now)
        elif out in self.cut.read:
            branch = way.branch(arriving(out), size.d)
            yield Moment(arriving(out), way.alive, way.start, branch)
            mixed = layer.attention.pull_outputs(branch)
        if heads in self.cut.read:
            own = way.branch(arriving(heads), size.h * size.c)
            own[: 0 if mixed is None else len(mixed)] += 0 if mixed is None else mixed
            mixed = own
        if mixed is not None and len(mixed):
            yield Moment(arriving(heads), len(mixed), way.start, mixed)
            way.add(layer.attention.pull_heads(mixed, way.start))

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
        stop = reading(Place(layer, "mlp.in"), parallel=self.frozen.parallel)
        wanted = {leaving(Place(below, "mlp.out")) for below in range(layer)}
        going = Separately(Placed.of(stop, positions, vectors), self.start, int(positions.max()) + 1)
        return [moment.x.clone() for moment in self.down(going) if moment.stop in wanted][::-1]


class _Way:
    """Vectors under way, and the steps that are alike at every place."""

    def __init__(self, cut: Cut, carried: Carried):
        self.cut, self.carried, self.start = cut, carried, carried.start
        size = (carried.n, carried.end - carried.start, cut.frozen.embed.shape[1])
        self.x = torch.zeros(size, dtype=carried.dtype, device=cut.frozen.embed.device)
        self.alive = 0

    @property
    def now(self) -> Float[Tensor, "alive p d"]:
        """Those under way."""
        return self.x[: self.alive]

    def moment(self, stop: int) -> Moment:
        return Moment(stop, self.alive, self.start, self.now)

    def enter(self, stop: int) -> None:
        self.alive = self.carried.enter(self.x, stop)

    def past(self, place: Place) -> Iterator[Moment]:
        """Up past a place of the stream."""
        self.enter(arriving(place))
        yield self.moment(arriving(place))
        if place in self.cut.written:
            self.now.zero_()
        yield from self.leave(place)

    def leave(self, place: Place) -> Iterator[Moment]:
        """What is written at a place joins the stream; on the way down, what reads there sets out."""
        self.enter(leaving(place))
        yield self.moment(leaving(place))

    def back_past(self, place: Place) -> Iterator[Moment]:
        """Down past a place of the stream."""
        self.enter(leaving(place))
        yield self.moment(leaving(place))
        if place in self.cut.written:
            self.now.zero_()
        self.enter(arriving(place))
        yield self.moment(arriving(place))

    def branch(self, stop: int, width: int) -> Float[Tensor, "alive p w"]:
        """Read vectors at what a branch gives, where it is read before it joins the stream."""
        x = self.x.new_zeros(*self.x.shape[:2], width)
        self.alive = self.carried.enter(x, stop)
        return x[: self.alive]

    def skip(self, index: int) -> Skip | None:
        """The linear path beside the units of an MLP."""
        written = self.cut.written.get(Place(index, "mlp.out"))
        return None if written is None else written.skip

    def skipped(self, index: int) -> Float[Tensor, "alive p d"] | None:
        """What a skip makes of the stream that its MLP reads."""
        skip = self.skip(index)
        return None if skip is None else skip.push(self.now, self.start)

    def skipped_back(self, index: int) -> Float[Tensor, "alive p d"] | None:
        """What a skip gives back to the stream that its MLP reads."""
        skip = self.skip(index)
        return None if skip is None else skip.pull(self.now, self.start)

    def add(self, x: Float[Tensor, "n p d"] | None) -> None:
        if x is not None:
            self.x[: len(x)] += x


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    """Of two prefixes of the same vectors."""
    if a is None:
        return b
    b[: len(a)] += a
    return b
