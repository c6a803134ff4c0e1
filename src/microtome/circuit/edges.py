"""Exact direct edges among chosen units: what each wrote, carried through the frozen network to where others read.

What each row (a unit, or the target) is given must sum to its value: edges from chosen units, embeddings, positions,
errors and biases, plus the remainder (what units that were not chosen wrote), plus the nonlinear term (what the
operator frozen at the clean prompt does not give). Every term is computed on its own, so that the sum is a test.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Cut
from microtome.circuit.change import ByStop, Change, precise
from microtome.circuit.columns import Columns
from microtome.circuit.operator import Carried, LinearOperator, Separately
from microtome.circuit.placed import ByPlace, Placed
from microtome.circuit.places import Place, arriving, layer_of, leaving, reading
from microtome.circuit.target import Target
from microtome.core.progress import track


@dataclass(frozen=True)
class Chosen:
    """Units chosen as nodes, sorted by block, then position, then unit; `[n]` each."""

    blocks: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    units: Int[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.blocks)

    def at(self, block: int) -> Int[Tensor, "k"]:
        """Which of them lie in a block."""
        return (self.blocks == block).nonzero()[:, 0]


@dataclass(frozen=True)
class EdgeMatrix:
    """All direct effects on the chosen units and on the target (the last row).

    Attributes:
        terms: `[n + 1, s + 2]`: from all s sources that are nodes, then the remainder (from units that were not
            chosen) and the nonlinear term (what the operator does not give).
        columns: which source stands where.
        value: `[n + 1]`: what each row must sum to.
    """

    terms: Float[Tensor, "t c"]
    columns: Columns
    value: Float[Tensor, "t"]

    @property
    def linear(self) -> Float[Tensor, "t s"]:
        """Edges from all sources that are nodes."""
        return self.terms[:, :-2]

    @property
    def units(self) -> Float[Tensor, "t n"]:
        """Edges from chosen units."""
        return self.terms[:, self.columns.slices["unit"]]

    @property
    def remainder(self) -> Float[Tensor, "t"]:
        """From units that were not chosen."""
        return self.terms[:, -2]

    @property
    def nonlinear(self) -> Float[Tensor, "t"]:
        """What the operator does not give."""
        return self.terms[:, -1]

    def imbalance(self) -> Float[Tensor, "t"]:
        """How far each row is from summing to its value, relative to the sum of its absolute terms."""
        absolute = self.terms.abs().sum(1).clamp(min=torch.finfo(self.terms.dtype).tiny)
        total = self.terms.cpu().sum(1, dtype=torch.float64)
        return (total - self.value.cpu()).abs() / absolute.cpu()


class _Together:
    """What is written everywhere at once, a stream a kind: each layer's constants, remainder, nonlinearity."""

    def __init__(self, flow: Change, others: dict[int, Float[Tensor, "p d"]], layers: int):
        self.start, self.end, self.n, self.dtype = flow.start, len(flow.embed), layers + 3, flow.streams[0].dtype
        self._flow, self._others, self._layers = flow, others, layers

    def enter(self, x: Float[Tensor, "n p d"], stop: int) -> int:
        flow, layer = self._flow, min(layer_of(stop), self._layers)
        rows = {layer: flow.constants.get(stop), self.n - 2: self._others.get(stop), self.n - 1: flow.slack.get(stop)}
        for row, written in rows.items():
            if written is not None:
                x[row] += written[self.start :]
        return self.n


def direct_edges(clean: Cut, flow: Change, target: Target, chosen: Chosen) -> EdgeMatrix:
    """Computes every direct edge among chosen units, and from and to everything else.

    Args:
        clean: the prompt, cut into units.
        flow: what the sources carry: values, or differences to a counterfactual.
        target: the last row.
        chosen: the units that become nodes.
    """
    readers = read_vectors(clean, target, chosen)
    operator, errors = LinearOperator(clean, flow.start), from_errors(flow)
    together = _Together(flow, _others(clean, flow, chosen), len(clean.frozen.layers))
    matrix = _own_terms(clean, flow, target, chosen, readers)
    slices = matrix.columns.slices
    found = between(operator, readers, Placed.joined([from_units(clean, flow, chosen), *errors]))
    matrix.units[:], matrix.terms[:, slices["error"]] = found[:, : len(chosen)], found[:, len(chosen) :]
    exact = Placed(readers.owners, readers.stops, readers.positions, precise(readers.vectors), readers.n)
    matrix.terms[:, slices["embedding"].start : slices["position"].stop] = carried_up(
        operator, exact, from_embeddings(flow)
    )
    matrix.terms[:, slices["bias"].start :] += _arriving(operator, together, exact)
    return matrix


def between(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """Edges from sources to readers: carried up from where they write or down from where they read, as is less work."""
    frozen = operator.frozen
    top = leaving(Place(len(frozen.layers), "resid"))
    up = (frozen.n_positions - sources.owner_positions()) * (top - sources.first_stops(upwards=True))
    down = (readers.owner_positions() + 1 - operator.start) * readers.first_stops(upwards=False)
    carried = carried_up if up.sum() <= down.sum() else carried_down
    return carried(operator, readers, sources)


def carried_up(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """What each source wrote, carried up to the readers."""
    met, reading_at, end = (
        readers.vectors.new_zeros(readers.n, sources.n),
        readers.by_place(),
        operator.frozen.n_positions,
    )
    for part in track(operator.parts(sources, upwards=True), "edges"):
        some = sources.take(part)
        going = Separately(some, int(some.positions.min()), end)
        met[:, part] = _arriving(operator, going, readers, reading_at)
    return met


def carried_down(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """Each read vector, carried down to the sources: the transpose."""
    met, writing = readers.vectors.new_zeros(readers.n, sources.n), sources.by_place()
    for part in track(operator.parts(readers, upwards=False), "edges"):
        some = readers.take(part)
        block = met.new_zeros(len(part), sources.n)
        for moment in operator.down(Separately(some, operator.start, int(some.positions.max()) + 1)):
            for position, rows in writing.get(moment.stop, ()):
                if moment.start <= position < moment.start + moment.x.shape[1]:
                    vectors = sources.vectors[rows, : moment.x.shape[2]]
                    block[: moment.alive, sources.owners[rows]] += moment.x[:, position - moment.start] @ vectors.T
        met[part] = block
    return met


def read_vectors(clean: Cut, target: Target, chosen: Chosen) -> Placed:
    """Read vectors of the chosen units and, last, of the target, on the stream that each reads."""
    frozen = clean.frozen
    parts = [
        Placed(
            here,
            torch.full_like(here, reading(place, parallel=frozen.parallel)),
            chosen.positions[here],
            block.read(place, chosen.positions[here], chosen.units[here]),
            0,
        )
        for index, block in enumerate(clean.blocks)
        for place in block.reads
        if len(here := chosen.at(index))
    ]
    last = target.read(clean)
    parts.append(replace(last, owners=last.owners + len(chosen)))
    return _gathered(parts, len(chosen) + 1)


def from_units(clean: Cut, flow: Change, chosen: Chosen) -> Placed:
    """What the chosen units wrote."""
    parts = []
    for index, block in enumerate(clean.blocks):
        here = chosen.at(index)
        positions, units = chosen.positions[here], chosen.units[here]
        amounts = flow.units[index][positions, units, None]
        for place in block.writes if len(here) else ():
            stop = torch.full_like(here, leaving(place))
            parts.append(Placed(here, stop, positions, block.write(place, positions, units) * amounts, 0))
    return _gathered(parts, len(chosen))


def _gathered(parts: list[Placed], n: int) -> Placed:
    """Vectors whose owners are numbered together already."""
    return replace(Placed.joined(parts), owners=torch.cat([one.owners for one in parts]), n=n)


def from_outside(flow: Change) -> Placed:
    """What no unit wrote: token embeddings, learned positions, errors."""
    return Placed.joined([from_embeddings(flow), *from_errors(flow)])


def from_embeddings(flow: Change) -> Placed:
    """The embedding of each token, and each learned position in families that have them."""
    tables = [flow.embed] if flow.learned is None else [flow.embed, flow.learned]
    positions = torch.arange(len(flow.embed), device=flow.embed.device).repeat(len(tables))
    return Placed.of(arriving(Place(0, "resid")), positions, precise(torch.cat(tables)))


def from_errors(flow: Change) -> list[Placed]:
    """What no unit wrote, place by place, position by position."""
    positions = torch.arange(len(flow.embed), device=flow.embed.device)
    return [Placed.of(leaving(place), positions, error) for place, error in flow.errors.items()]


def _others(clean: Cut, flow: Change, chosen: Chosen) -> dict[int, Float[Tensor, "p d"]]:
    """What units that were not chosen wrote together at each stop."""
    found: dict[int, Tensor] = {}
    for index, block in enumerate(clean.blocks):
        here = chosen.at(index)
        amounts = flow.units[index].clone()
        amounts[chosen.positions[here], chosen.units[here]] = 0
        for place in block.writes:
            written = block.decode(place, precise(amounts))
            found[leaving(place)] = found[leaving(place)] + written if leaving(place) in found else written
    return found


def _own_terms(clean: Cut, flow: Change, target: Target, chosen: Chosen, readers: Placed) -> EdgeMatrix:
    """The matrix with what each row has of its own: value, constants, and the nonlinearity of its reading."""
    n, n_layers = len(chosen), len(clean.frozen.layers)
    columns = Columns.of(flow, n, n_layers)
    value, constant = _own(clean, flow, target, chosen)
    constant = precise(constant) + _read(readers, flow.branch_constants)
    terms = readers.vectors.new_zeros(n + 1, columns.width)
    of_blocks = torch.tensor([block.layer for block in clean.blocks] + [n_layers], device=terms.device)
    layers = of_blocks[torch.cat([chosen.blocks, chosen.blocks.new_tensor([len(clean.blocks)])])]
    terms[torch.arange(n + 1, device=terms.device), columns.bias(0) + layers] = constant.to(terms)
    terms[:, -1] = (value - constant - _read(readers, flow.streams)).to(terms)
    return EdgeMatrix(terms, columns, value)


def _read(readers: Placed, streams: ByStop) -> Float[Tensor, "t"]:
    """What each row reads of what stands at its stops."""
    found = precise(readers.vectors).new_zeros(readers.n)
    for stop, rows in readers.by_stop().items():
        if (stream := streams.get(stop)) is not None:
            there = precise(stream)[readers.positions[rows]]
            vectors = precise(readers.vectors[rows, : there.shape[1]])
            found.index_add_(0, readers.owners[rows], (there * vectors).sum(1))
    return found


def _own(clean: Cut, flow: Change, target: Target, chosen: Chosen) -> tuple[Float[Tensor, "t"], Float[Tensor, "t"]]:
    """Each row's value, and the constant that it has without any stream."""
    n, frozen = len(chosen), clean.frozen
    value, constant = frozen.embed.new_zeros(n + 1), frozen.embed.new_zeros(n + 1)
    value[n] = flow.target
    for index, block in enumerate(clean.blocks):
        here = chosen.at(index)
        positions, units = chosen.positions[here], chosen.units[here]
        value[here] = flow.units[index][positions, units]
        if not flow.against and len(here):
            constant[here] = block.read_constant(positions, units)
    if not flow.against:
        constant[n] = target.constant(clean)
    return value, constant


def _arriving(
    operator: LinearOperator, writer: Carried, readers: Placed, reading_at: ByPlace | None = None
) -> Float[Tensor, "t n"]:
    """What of each stream that is carried up arrives at each reader."""
    met = readers.vectors.new_zeros(readers.n, writer.n)
    reading_at = readers.by_place() if reading_at is None else reading_at
    for moment in operator.up(writer):
        for position, rows in reading_at.get(moment.stop, ()):
            if position >= moment.start:
                vectors = readers.vectors[rows, : moment.x.shape[2]]
                met[readers.owners[rows], : moment.alive] += vectors @ moment.x[:, position - moment.start].T
    return met
