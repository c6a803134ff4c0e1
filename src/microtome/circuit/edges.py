"""Exact direct edges among chosen units: what each wrote, carried through the frozen network to where others read.

Each row (a unit, or the target) is a budget that must come out: edges from chosen units, embeddings,
positions and biases, plus the remainder (what units that were not chosen wrote), plus the nonlinear term
(what the operator frozen at the clean prompt does not give) are its value. Every term is computed on its
own, so that the sum is a test.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Cut
from microtome.circuit.change import Change, precise
from microtome.circuit.graph import Kind
from microtome.circuit.operator import LinearOperator, Place, Placed, Separately, Writer
from microtome.circuit.target import Target
from microtome.core.progress import track


@dataclass(frozen=True)
class Chosen:
    """Units chosen as nodes, sorted by layer, then position, then unit; `[n]` each."""

    layers: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    units: Int[Tensor, "n"]

    def __len__(self) -> int:
        return len(self.layers)

    def at(self, layer: int) -> Int[Tensor, "k"]:
        """Which of them lie in a layer."""
        return (self.layers == layer).nonzero()[:, 0]


@dataclass(frozen=True)
class EdgeMatrix:
    """All direct effects on the chosen units and on the target (the last row).

    Attributes:
        terms: `[n + 1, s + 2]`: from all s sources that are nodes, then the remainder (from units that were not
            chosen) and the nonlinear term (what the operator does not give).
        columns: how many columns each kind of source has, in their order: the n chosen units, the token embeddings,
            the learned positions of families that have them, the errors of layers that have them (layer by
            layer, a column a position), each layer's constants and the final constants.
        value: `[n + 1]`: what each row must sum to.
    """

    terms: Float[Tensor, "t c"]
    columns: dict[Kind, int]
    value: Float[Tensor, "t"]

    def find(self, column: int) -> tuple[Kind, int]:
        """What stands in a column: which kind, and which of it. The one after the last source is the logit."""
        for kind, size in self.columns.items():
            if column < size:
                return kind, column
            column -= size
        return "logit", column

    @property
    def linear(self) -> Float[Tensor, "t s"]:
        """Edges from all sources that are nodes."""
        return self.terms[:, :-2]

    @property
    def units(self) -> Float[Tensor, "t n"]:
        """Edges from chosen units."""
        return self.terms[:, : len(self.value) - 1]

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


@dataclass(frozen=True)
class _Together:
    """What is written everywhere at once, a stream a kind: each layer's constants, remainder, nonlinearity."""

    flow: Change
    others: list[Float[Tensor, "p d"]]

    @property
    def start(self) -> int:
        return self.flow.start

    @property
    def n(self) -> int:
        return len(self.others) + 3

    @property
    def dtype(self) -> torch.dtype:
        return self.others[0].dtype

    def enter(self, x: Float[Tensor, "n p d"], place: Place, layer: int) -> int:
        if place != "embed":
            is_mlp = place == "mlp"
            slack = self.flow.mlp_slack if is_mlp else self.flow.attn_slack
            x[layer] += self.flow.constants[layer][int(is_mlp)][self.start :]
            x[-1] += slack[layer][self.start :]
            if is_mlp:
                x[-2] += self.others[layer][self.start :]
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
    operator, everywhere = LinearOperator(clean, flow.start), from_outside(flow)
    together = _Together(flow, [_others(clean, flow, chosen, layer) for layer in range(len(clean.layers))])
    n, p = len(chosen), clean.frozen.n_positions
    columns: dict[Kind, int] = {"unit": n, "embedding": p, "position": 0 if flow.places is None else p}
    columns |= {"error": p * len(flow.errors), "bias": len(clean.layers) + 1}
    matrix = _own_terms(clean, flow, target, chosen, readers, columns)
    matrix.units[:] = between_units(operator, readers, from_units(clean, flow, chosen))
    exact = Placed(readers.layers, readers.positions, precise(readers.vectors))
    matrix.terms[:, n : -together.n] = carried_up(operator, exact, everywhere)
    matrix.terms[:, -together.n :] += _arriving(operator, together, exact, _by_place(readers))
    return matrix


def between_units(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """Edges from units, carried whichever way is less work: up from where they write, or down from where they read."""
    up = (operator.frozen.n_positions - sources.positions) * (len(operator.frozen.layers) - 1 - sources.layers)
    down = (readers.positions + 1 - operator.start) * readers.layers
    carried = carried_up if up.sum() <= down.sum() else carried_down
    return carried(operator, readers, sources)


def carried_up(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """What each source wrote, carried up to the readers."""
    met, reading = readers.vectors.new_zeros(len(readers), len(sources)), _by_place(readers)
    for part in track(operator.parts(sources, upwards=True), "edges"):
        met[:, part] = _arriving(operator, Separately(sources.take(part)), readers, reading)
    return met


def carried_down(operator: LinearOperator, readers: Placed, sources: Placed) -> Float[Tensor, "t n"]:
    """Each read vector, carried down to the sources: the transpose."""
    met, writing = readers.vectors.new_zeros(len(readers), len(sources)), _by_place(sources)
    for part in track(operator.parts(readers, upwards=False), "edges"):
        block = met.new_zeros(len(part), len(sources))
        for moment in operator.down(readers.take(part)):
            for position, columns in writing.get(moment.layer, ()) if moment.place == "mlp" else ():
                if moment.start <= position < moment.start + moment.x.shape[1]:
                    arrived = moment.x[:, position - moment.start] @ sources.vectors[columns].T
                    block[: moment.alive, columns] = arrived
        met[part] = block
    return met


def read_vectors(clean: Cut, target: Target, chosen: Chosen) -> Placed:
    """Read vectors of the chosen units and, last, of the target, on the stream that each reads."""
    n, frozen = len(chosen), clean.frozen
    vectors = frozen.embed.new_zeros(n + 1, frozen.embed.shape[1])
    for index, layer in enumerate(clean.layers):
        here = chosen.at(index)
        vectors[here] = layer.read(chosen.positions[here], chosen.units[here])
    position = target.position % frozen.n_positions
    vectors[n] = frozen.pull_direction(target.direction(frozen.logits(position), frozen.anatomy), position)
    last = torch.tensor([position], device=vectors.device)
    layers = torch.cat([chosen.layers, torch.full_like(last, len(frozen.layers))])
    return Placed(layers, torch.cat([chosen.positions, last]), vectors)


def from_units(clean: Cut, flow: Change, chosen: Chosen) -> Placed:
    """What the chosen units wrote."""
    vectors = clean.frozen.embed.new_zeros(len(chosen), clean.frozen.embed.shape[1])
    for index, layer in enumerate(clean.layers):
        here = chosen.at(index)
        positions, units = chosen.positions[here], chosen.units[here]
        vectors[here] = layer.write(positions, units) * flow.units[index][positions, units, None]
    return Placed(chosen.layers, chosen.positions, vectors)


def from_outside(flow: Change) -> Placed:
    """What no unit wrote: token embeddings, learned positions, errors."""
    parts = [from_embeddings(flow), *(from_error(flow, layer) for layer in flow.errors)]
    return Placed(*(torch.cat(one) for one in zip(*((x.layers, x.positions, x.vectors) for x in parts), strict=True)))


def from_embeddings(flow: Change) -> Placed:
    """The embedding of each token, and each learned position in families that have them."""
    tables = [flow.embed] if flow.places is None else [flow.embed, flow.places]
    positions = torch.arange(len(flow.embed), device=flow.embed.device).repeat(len(tables))
    return Placed(torch.full_like(positions, -1), positions, precise(torch.cat(tables)))


def from_error(flow: Change, layer: int) -> Placed:
    """What of a layer's MLP no unit wrote, position by position."""
    positions = torch.arange(len(flow.embed), device=flow.embed.device)
    return Placed(torch.full_like(positions, layer), positions, precise(flow.errors[layer]))


def _others(clean: Cut, flow: Change, chosen: Chosen, index: int) -> Float[Tensor, "p d"]:
    """What a layer's units that were not chosen wrote together."""
    here = chosen.at(index)
    amounts = flow.units[index].clone()
    amounts[chosen.positions[here], chosen.units[here]] = 0
    return clean.layers[index].written(precise(amounts))


def _own_terms(
    clean: Cut, flow: Change, target: Target, chosen: Chosen, readers: Placed, columns: dict[Kind, int]
) -> EdgeMatrix:
    """The matrix with what each row has of its own: value, constants, and the nonlinearity of its reading."""
    n, sources = len(chosen), sum(columns.values())
    value, constant = _own(clean, flow, target, chosen)
    terms = readers.vectors.new_zeros(n + 1, sources + 2)
    terms[torch.arange(n + 1, device=terms.device), sources - columns["bias"] + readers.layers] = constant
    read = torch.stack([*flow.streams, flow.final])[readers.layers, readers.positions]
    terms[:, -1] = value - constant - (precise(read) * precise(readers.vectors)).sum(1)
    return EdgeMatrix(terms, columns, value)


def _own(clean: Cut, flow: Change, target: Target, chosen: Chosen) -> tuple[Float[Tensor, "t"], Float[Tensor, "t"]]:
    """Each row's value, and the constant that it has without any stream."""
    n, frozen = len(chosen), clean.frozen
    value, constant = frozen.embed.new_zeros(n + 1), frozen.embed.new_zeros(n + 1)
    value[n] = flow.target
    for index, layer in enumerate(clean.layers):
        here = chosen.at(index)
        positions, units = chosen.positions[here], chosen.units[here]
        value[here] = flow.units[index][positions, units]
        if not flow.against and len(here):
            constant[here] = layer.read_constant(positions, units)
    if not flow.against:
        logits = frozen.logits(target.position % frozen.n_positions)
        direction = target.direction(logits, frozen.anatomy)
        constant[n] = frozen.direction_constant(direction) + target.bias(logits, frozen.anatomy)
    return value, constant


ByPlace = dict[int, list[tuple[int, Int[Tensor, "_"]]]]


def _by_place(placed: Placed) -> ByPlace:
    """Which vectors stand at each layer, position by position."""
    found: ByPlace = {}
    for layer, position in torch.stack([placed.layers, placed.positions], 1).unique(dim=0).tolist():
        here = (placed.layers == layer) & (placed.positions == position)
        found.setdefault(layer, []).append((position, here.nonzero()[:, 0]))
    return found


def _arriving(operator: LinearOperator, writer: Writer, readers: Placed, reading: ByPlace) -> Float[Tensor, "t n"]:
    """What of each stream that is carried up arrives at each reader."""
    met = readers.vectors.new_zeros(len(readers), writer.n)
    for moment in operator.up(writer):
        for position, rows in reading.get(moment.layer, ()):
            if position >= moment.start:
                met[rows, : moment.alive] = readers.vectors[rows] @ moment.x[:, position - moment.start].T
    return met
