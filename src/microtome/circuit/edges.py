"""Exact direct edges among chosen units, by pulling every unit's read vector down the frozen network.

Each row (a unit, or the target) is a budget that must come out: edges from chosen units, embeddings,
positions and biases, plus the remainder (what units that were not chosen wrote), plus the nonlinear term
(what the operator frozen at the clean prompt does not give) are its value. Every term is computed on its
own, so that the sum is a test.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Basis
from microtome.circuit.change import Change
from microtome.circuit.operator import LinearOperator, Moment, Rows
from microtome.circuit.target import Target
from microtome.core.progress import track
from microtome.model.frozen import Frozen


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
        units: `[n + 1, n]`: edges from chosen units.
        embed: `[n + 1, p]`: from token embeddings.
        places: `[n + 1, p]`: from learned positions; no columns in a family without them.
        bias: `[n + 1, l + 1]`: from each layer's constants, and from those of the final norm and logits.
        remainder: `[n + 1]`: from units that were not chosen.
        nonlinear: `[n + 1]`: what the operator does not give.
        value: `[n + 1]`: what each row must sum to.
    """

    units: Float[Tensor, "t n"]
    embed: Float[Tensor, "t p"]
    places: Float[Tensor, "t q"]
    bias: Float[Tensor, "t l"]
    remainder: Float[Tensor, "t"]
    nonlinear: Float[Tensor, "t"]
    value: Float[Tensor, "t"]

    @property
    def linear(self) -> Float[Tensor, "t s"]:
        """All sources that are nodes, side by side: units, embeddings, positions, biases."""
        return torch.cat([self.units, self.embed, self.places, self.bias], 1)

    def imbalance(self) -> Float[Tensor, "t"]:
        """How far each row is from summing to its value, relative to the sum of its absolute terms."""
        rest = self.remainder + self.nonlinear
        terms = self.linear.abs().sum(1) + self.remainder.abs() + self.nonlinear.abs()
        return (self.linear.sum(1) + rest - self.value).abs() / terms.clamp(min=torch.finfo(terms.dtype).tiny)


@dataclass(frozen=True)
class _Sources:
    """What one layer's MLP wrote: by chosen units one by one, by the others together."""

    index: Int[Tensor, "k"]
    positions: Int[Tensor, "k"]
    writes: Float[Tensor, "k d"]
    others: Float[Tensor, "p d"]


def direct_edges(frozen: Frozen, flow: Change, target: Target, chosen: Chosen, basis: Basis) -> EdgeMatrix:
    """Computes every direct edge among chosen units, and from and to everything else.

    Args:
        frozen: the clean prompt.
        flow: what the sources carry: values, or differences to a counterfactual.
        target: the last row.
        chosen: the units that become nodes.
        basis: how units read and write.
    """
    rows, own = row_vectors(frozen, target, chosen, basis), _own(frozen, flow, target, chosen, basis)
    sources = [_sources(frozen, flow, chosen, basis, layer) for layer in range(len(frozen.layers))]
    matrix = _empty(frozen, flow, rows, own)
    operator = LinearOperator(frozen, flow.start)
    reached = (rows.positions >= flow.start).nonzero()[:, 0]
    for part in track(list(rows.chunks(reached)), "edges"):
        here = Rows(rows.layers[part], rows.positions[part], rows.vectors[part])
        for moment in operator.walk(here):
            _meet(matrix, part[: moment.alive], moment, flow, sources)
    return matrix


def row_vectors(frozen: Frozen, target: Target, chosen: Chosen, basis: Basis) -> Rows:
    """Read vectors of the chosen units and, last, of the target, on the stream that each reads."""
    n = len(chosen)
    vectors = frozen.embed.new_zeros(n + 1, frozen.embed.shape[1])
    for index, layer in enumerate(frozen.layers):
        here = chosen.at(index)
        vectors[here] = basis.read(layer, chosen.positions[here], chosen.units[here])
    position = target.position % frozen.n_positions
    vectors[n] = frozen.pull_direction(target.direction(frozen.logits(position), frozen.anatomy), position)
    last = torch.tensor([position], device=vectors.device)
    layers = torch.cat([chosen.layers, torch.full_like(last, len(frozen.layers))])
    return Rows(layers, torch.cat([chosen.positions, last]), vectors)


def _own(
    frozen: Frozen, flow: Change, target: Target, chosen: Chosen, basis: Basis
) -> tuple[Float[Tensor, "t"], Float[Tensor, "t"]]:
    """Each row's value, and the constant that it has without any stream."""
    n = len(chosen)
    value, constant = frozen.embed.new_zeros(n + 1), frozen.embed.new_zeros(n + 1)
    value[n] = flow.target
    for index, layer in enumerate(frozen.layers):
        here = chosen.at(index)
        positions, units = chosen.positions[here], chosen.units[here]
        value[here] = flow.neurons[index][positions, units]
        if not flow.against and len(here):
            constant[here] = basis.constant(layer, positions, units)
    if not flow.against:
        logits = frozen.logits(target.position % frozen.n_positions)
        direction = target.direction(logits, frozen.anatomy)
        constant[n] = frozen.direction_constant(direction) + target.bias(logits, frozen.anatomy)
    return value, constant


def _sources(frozen: Frozen, flow: Change, chosen: Chosen, basis: Basis, index: int) -> _Sources:
    layer, here = frozen.layers[index], chosen.at(index)
    positions, units = chosen.positions[here], chosen.units[here]
    amounts = flow.neurons[index]
    others = amounts.clone()
    others[positions, units] = 0
    writes = basis.write(layer, positions, units) * amounts[positions, units, None]
    return _Sources(here, positions, writes, layer.written(others))


def _empty(frozen: Frozen, flow: Change, rows: Rows, own: tuple[Tensor, Tensor]) -> EdgeMatrix:
    """The matrix with what each row has of its own: value, constants, and the nonlinearity of its reading."""
    n, p, n_layers = len(rows) - 1, frozen.n_positions, len(frozen.layers)
    value, constant = own
    vectors = rows.vectors
    read = torch.stack([*flow.streams, flow.final])[rows.layers, rows.positions]
    bias = vectors.new_zeros(n + 1, n_layers + 1)
    bias[torch.arange(n + 1), rows.layers] = constant
    return EdgeMatrix(
        units=vectors.new_zeros(n + 1, n),
        embed=vectors.new_zeros(n + 1, p),
        places=vectors.new_zeros(n + 1, 0 if flow.places is None else p),
        bias=bias,
        remainder=vectors.new_zeros(n + 1),
        nonlinear=value - constant - (read * vectors).sum(1),
        value=value,
    )


def _meet(matrix: EdgeMatrix, alive: Int[Tensor, "k"], moment: Moment, flow: Change, sources: list[_Sources]) -> None:
    """Contracts the rows alive at a moment with everything that was written there."""
    if not len(alive):
        return
    first, last = flow.start, flow.start + moment.g.shape[0]
    if moment.place == "embed":
        matrix.embed[alive, first:last] += torch.einsum("pnd,pd->np", moment.g, flow.embed[first:last])
        if flow.places is not None:
            matrix.places[alive, first:last] += torch.einsum("pnd,pd->np", moment.g, flow.places[first:last])
        return
    is_mlp = moment.place == "mlp"
    slack = (flow.mlp_slack if is_mlp else flow.attn_slack)[moment.layer]
    constant = flow.constants[moment.layer][int(is_mlp)]
    pooled = [slack, constant, sources[moment.layer].others] if is_mlp else [slack, constant]
    met = torch.einsum("pnd,pdk->nk", moment.g, torch.stack(pooled, -1)[first:last])
    matrix.nonlinear[alive] += met[:, 0]
    matrix.bias[alive, moment.layer] += met[:, 1]
    if is_mlp:
        matrix.remainder[alive] += met[:, 2]
        _meet_units(matrix, alive, moment, sources[moment.layer], first)


def _meet_units(matrix: EdgeMatrix, alive: Int[Tensor, "k"], moment: Moment, source: _Sources, start: int) -> None:
    for position in source.positions.unique().tolist():
        if start <= position < start + moment.g.shape[0]:
            here = source.positions == position
            edges = moment.g[position - start] @ source.writes[here].T
            matrix.units[alive[:, None], source.index[here][None]] = edges
