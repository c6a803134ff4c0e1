"""Which heads carried an edge away from its source (Kamath et al. 2025, head loadings).

A read vector carried down to the source is the reader's own vector plus what each head between added.
Contracting these parts one by one with what the source wrote splits the edge; the parts sum to its weight.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.operator import LinearOperator, Moment, Placed
from microtome.model.frozen import FrozenLayer


def head_loadings(
    operator: LinearOperator, readers: Placed, sources: Placed, reader_of: Int[Tensor, "e"]
) -> Float[Tensor, "e l h"]:
    """What each head of each layer carried of each edge.

    Args:
        operator: of the prompt.
        readers: read vectors.
        sources: one an edge: where it was written, and what (layer -1 for embeddings).
        reader_of: which of the readers each edge ends in.
    """
    layers = operator.frozen.layers
    found = sources.vectors.new_zeros(len(sources), len(layers), layers[0].layer.sizes.h)
    used, edge_reader = reader_of.unique(return_inverse=True)
    some = readers.take(used)
    for part in operator.parts(some, upwards=False):
        column = torch.full_like(used, len(used))
        column[part] = torch.arange(len(part), device=used.device)
        columns = column[edge_reader]
        for moment in operator.down(some.take(part)):
            if moment.place == "attention":
                edges = ((columns < moment.alive) & (sources.layers < moment.layer)).nonzero()[:, 0]
                found[edges, moment.layer] = _carried(layers[moment.layer], moment, columns[edges], sources.take(edges))
    return found


def _carried(layer: FrozenLayer, moment: Moment, columns: Int[Tensor, "e"], sources: Placed) -> Float[Tensor, "e h"]:
    """One layer's heads: pattern-weighted gradient at the queries, through W_O and W_V, to the source."""
    share, end = layer.layer.sizes.h // layer.layer.sizes.g, moment.start + moment.x.shape[1]
    values = torch.einsum("ed,gcd->egc", sources.vectors, layer.values)
    inside = (sources.positions >= moment.start) & (sources.positions < end)
    keys = sources.positions.clamp(moment.start, end - 1)
    parts = []
    for head, w_o in enumerate(layer.outputs):
        gradients = (moment.x @ w_o)[columns]
        weights = layer.weighted_pattern[head, moment.start : end, keys] * inside
        parts.append(torch.einsum("eqc,qe,ec->e", gradients, weights, values[:, head // share]))
    return torch.stack(parts, 1)


def strongest(loading: Float[Tensor, "l h"], most: int) -> Sequence[tuple[int, int, float]]:
    """The heads that carried most, as (layer, head, weight)."""
    flat = loading.flatten()
    order = flat.abs().topk(min(most, len(flat))).indices.tolist()
    heads = loading.shape[1]
    return tuple((i // heads, i % heads, float(flat[i])) for i in order if float(flat[i]) != 0.0)
