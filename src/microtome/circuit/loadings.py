"""Which heads carried an edge away from its source (Kamath et al. 2025, head loadings).

A read vector carried down to the source is the reader's own vector plus what each head between added.
Contracting these parts one by one with what the source wrote splits the edge; the parts sum to its weight.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.basis import Cut
from microtome.circuit.operator import LinearOperator, Moment, Separately
from microtome.circuit.placed import Placed
from microtome.circuit.places import Place, arriving, leaving
from microtome.model.frozen import FrozenLayer


def head_loadings(
    operator: LinearOperator, readers: Placed, sources: Placed, reader_of: Int[Tensor, "e"]
) -> Float[Tensor, "e l h"]:
    """What each head of each layer carried of each edge.

    Args:
        operator: of the prompt.
        readers: read vectors.
        sources: one owner an edge: where it was written, and what.
        reader_of: which of the readers each edge ends in.
    """
    layers = operator.frozen.layers
    found = sources.vectors.new_zeros(sources.n, len(layers), layers[0].layer.sizes.h)
    used, edge_reader = reader_of.unique(return_inverse=True)
    some, until = readers.take(used), _next_cut(operator.cut, sources.stops)
    at_heads = {arriving(Place(layer.index, "attn.heads")): layer for layer in layers}
    for part in operator.parts(some, upwards=False):
        column = torch.full_like(used, len(used))
        column[part] = torch.arange(len(part), device=used.device)
        columns, carried = column[edge_reader][sources.owners], some.take(part)
        going = Separately(carried, operator.start, int(carried.positions.max()) + 1)
        for moment in operator.down(going):
            if (layer := at_heads.get(moment.stop)) is not None:
                passed = (sources.stops < moment.stop) & (moment.stop < until)
                rows = ((columns < moment.alive) & passed).nonzero()[:, 0]
                parts = _carried(layer, moment, columns[rows], sources.positions[rows], sources.vectors[rows])
                found[:, layer.index].index_add_(0, sources.owners[rows], parts)
    return found


def _next_cut(cut: Cut, stops: Int[Tensor, "r"]) -> Int[Tensor, "r"]:
    """Where the stream is cut next above each stop: no head above that reads the stream of what stands there."""
    end = leaving(Place(len(cut.frozen.layers) + 1, "resid"))
    cuts = sorted(leaving(place) for place in cut.written if place.on_stream)
    table = torch.tensor([*cuts, end], device=stops.device)
    return table[torch.searchsorted(table[:-1], stops, right=True)]


def _carried(
    layer: FrozenLayer,
    moment: Moment,
    columns: Int[Tensor, "e"],
    positions: Int[Tensor, "e"],
    vectors: Float[Tensor, "e d"],
) -> Float[Tensor, "e h"]:
    """One layer's heads: pattern-weighted gradient at the queries, through W_V, to the source."""
    size, end = layer.layer.sizes, moment.start + moment.x.shape[1]
    values = torch.einsum("ed,gcd->egc", vectors, layer.attention.values)
    inside = (positions >= moment.start) & (positions < end)
    keys = positions.clamp(moment.start, end - 1)
    gradients, parts = moment.x.unflatten(-1, (size.h, size.c)), []
    for head in range(size.h):
        weights = layer.attention.weighted_pattern[head, moment.start : end, keys] * inside
        of_group = values[:, head // (size.h // size.g)]
        parts.append(torch.einsum("eqc,qe,ec->e", gradients[:, :, head][columns], weights, of_group))
    return torch.stack(parts, 1)


def strongest(loading: Float[Tensor, "l h"], most: int) -> Sequence[tuple[int, int, float]]:
    """The heads that carried most, as (layer, head, weight)."""
    flat = loading.flatten()
    order = flat.abs().topk(min(most, len(flat))).indices.tolist()
    heads = loading.shape[1]
    return tuple((i // heads, i % heads, float(flat[i])) for i in order if float(flat[i]) != 0.0)
