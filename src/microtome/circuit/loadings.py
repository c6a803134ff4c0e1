"""Which heads carried an edge away from its source (Kamath et al. 2025, head loadings).

A pulled vector at the source is the reader's own vector plus what each head between added. Contracting
these parts one by one with what the source writes splits the edge; the parts sum to its weight.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.circuit.operator import LinearOperator, Rows
from microtome.model.frozen import FrozenLayer

CHUNK = 128


def head_loadings(
    operator: LinearOperator,
    rows: Rows,
    pairs: Int[Tensor, "e 2"],
    source_layers: Int[Tensor, "e"],
    source_positions: Int[Tensor, "e"],
    writes: Float[Tensor, "e d"],
) -> Float[Tensor, "e l h"]:
    """What each head of each layer carried of each edge.

    Args:
        operator: of the prompt.
        rows: the readers.
        pairs: (row, edge) for each edge: which reader it ends in; the second column numbers the edges.
        source_layers: layer of each source's MLP; -1 for embeddings.
        source_positions: where each source writes.
        writes: what it wrote, times its amount.
    """
    layers = operator.frozen.layers
    found = writes.new_zeros(len(pairs), len(layers), layers[0].layer.sizes.h)
    used = pairs[:, 0].unique()
    used = used[rows.positions[used] >= operator.start]
    for part in Rows(rows.layers[used], rows.positions[used], rows.vectors[used]).chunks(
        torch.arange(len(used), device=used.device), CHUNK
    ):
        which = used[part]
        place = torch.full((len(rows),), -1, device=which.device)
        place[which] = torch.arange(len(which), device=which.device)
        column = place[pairs[:, 0]]
        for moment in operator.walk(Rows(rows.layers[which], rows.positions[which], rows.vectors[which])):
            if moment.place == "attention":
                carried = (column >= 0) & (column < moment.alive) & (source_layers < moment.layer)
                edges = carried.nonzero()[:, 0]
                if len(edges):
                    found[pairs[edges, 1], moment.layer] = _carried(
                        layers[moment.layer],
                        moment.g,
                        column[edges],
                        source_positions[edges],
                        writes[edges],
                        operator.start,
                    )
    return found


def _carried(
    layer: FrozenLayer,
    g: Float[Tensor, "p n d"],
    columns: Int[Tensor, "e"],
    positions: Int[Tensor, "e"],
    writes: Float[Tensor, "e d"],
    start: int,
) -> Float[Tensor, "e h"]:
    """One layer's heads: pattern-weighted gradient at the queries, through W_O and W_V, to the source."""
    share = layer.layer.sizes.h // layer.layer.sizes.g
    values = torch.einsum("ed,gcd->egc", writes, layer.values)
    outputs = layer.outputs
    p = g.shape[0]
    parts = []
    for head in range(layer.layer.sizes.h):
        mixed = torch.einsum("qnd,dc->qnc", g, outputs[head])
        pattern = layer.weighted_pattern[head, start : start + p, start : start + p]
        inside = (positions >= start) & (positions < start + p)
        at = (positions - start).clamp(0, p - 1)
        weights = pattern[:, at] * inside
        parts.append(torch.einsum("qec,qe,ec->e", mixed[:, columns], weights, values[:, head // share]))
    return torch.stack(parts, 1)


def strongest(loading: Float[Tensor, "l h"], most: int) -> Sequence[tuple[int, int, float]]:
    """The heads that carried most, as (layer, head, weight)."""
    flat = loading.flatten()
    order = flat.abs().topk(min(most, len(flat))).indices.tolist()
    heads = loading.shape[1]
    return tuple((i // heads, i % heads, float(flat[i])) for i in order if float(flat[i]) != 0.0)
