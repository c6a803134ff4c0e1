"""From the full edge matrix to the graph that is drawn: influence, pruning, heads."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.edges import EdgeMatrix, from_outside, from_units, read_vectors
from microtome.circuit.graph import Edge, Graph, Node
from microtome.circuit.influence import GraphScores, Kept, Shares, connected, graph_scores, prune
from microtome.circuit.loadings import head_loadings, strongest
from microtome.circuit.nodes import names, node_of, with_tokens
from microtome.circuit.operator import LinearOperator
from microtome.circuit.placed import Placed
from microtome.circuit.target import TokenTarget
from microtome.circuit.traced import TraceConfig, Traced
from microtome.core.artefact import RunCard
from microtome.model.tokens import token_text

HEADS_SHOWN = 4
CARRIED = ("unit", "embedding", "error")
CARRIED_FOR_HEADS = 8192
"""Readers times positions that are carried down to split edges by heads: all of a short prompt's edges, the
strongest of a long one's, because the split costs as much as the edges themselves."""

Pair = tuple[int, int]
"""Row and column of the edge matrix."""


@dataclass(frozen=True)
class _Pruned:
    """The matrix as graph algorithms see it: a column a source, then remainder, nonlinearity, and the logit.

    Attributes:
        weights: `[n + 1, s + 3]`.
        kept: what is drawn.
        carried: influence of each column.
        scores: of the whole graph.
    """

    weights: Float[np.ndarray, "t c"]
    kept: Kept
    carried: Float[np.ndarray, "c"]
    scores: GraphScores

    @property
    def sources(self) -> int:
        """Columns that are nodes, the logit aside."""
        return self.weights.shape[1] - 3


def draw(traced: Traced, config: TraceConfig, card: RunCard) -> Graph:
    """Prunes by influence and names what is left.

    Args:
        traced: the full matrix and all that led to it.
        config: how much is drawn.
        card: how it was made.
    """
    pruned = _pruned(traced.matrix, config)
    nodes = _nodes(traced, pruned)
    edges = _edges(traced, pruned, nodes)
    return _assemble(traced, config, card, nodes, edges, _numbers(traced, pruned, len(edges)))


def _pruned(matrix: EdgeMatrix, config: TraceConfig) -> _Pruned:
    weights = np.pad(matrix.terms.cpu().numpy(), ((0, 0), (0, 1)))
    n, columns = len(weights) - 1, weights.shape[1]
    rows = np.array([*range(n), columns - 1])
    start = np.zeros(columns, weights.dtype)  # of the same kind: scipy would copy the matrix to widen it
    start[-1] = 1.0
    tokens, errors, never = (np.zeros(columns, bool) for _ in range(3))
    tokens[matrix.columns.slices["embedding"]] = True
    never[-3:-1] = True
    errors[matrix.columns.slices["error"]] = True
    always = tokens | (start > 0)
    shares = Shares.of(weights, rows, start)
    kept = prune(shares, always, never, node_share=config.node_share, edge_share=config.edge_share)
    kept = connected(kept.nodes, _strongest(weights, kept.edges, config.most_edges), rows, always)
    return _Pruned(weights, kept, shares.influence + start, graph_scores(shares, tokens, errors | never))


def _strongest(weights: Float[np.ndarray, "t c"], edges: Bool[np.ndarray, "t c"], most: int) -> Bool[np.ndarray, "t c"]:
    """The largest of the kept edges, so that a page stays readable."""
    absolute = np.abs(weights[edges])
    if len(absolute) <= most:
        return edges
    kept = edges.copy()
    kept[edges] = absolute >= np.partition(absolute, -most)[-most]
    return kept


def _nodes(traced: Traced, pruned: _Pruned) -> dict[int, Node]:
    """Drawn nodes by column; what their pruned sources gave is folded into their remainders."""
    n, sources, weights = len(traced.chosen), pruned.sources, pruned.weights
    found: dict[int, Node] = {}
    for column in np.flatnonzero(pruned.kept.nodes).tolist():
        node = node_of(traced, min(column, sources))
        remainder, nonlinear = 0.0, None
        if node.kind in ("unit", "logit"):
            row = min(column, n)
            left_out = weights[row, :sources] * ~pruned.kept.edges[row, :sources]
            remainder = float(weights[row, sources] + left_out.sum())
            nonlinear = float(weights[row, sources + 1]) if traced.flow.against else None
        share = float(min(pruned.carried[column], 1.0))
        direct = float(weights[n, column]) if column < sources else 0.0
        found[column] = replace(node, influence=share, remainder=remainder, nonlinear=nonlinear, direct=direct)
    return with_tokens(traced, found)


def _edges(traced: Traced, pruned: _Pruned, nodes: dict[int, Node]) -> tuple[Edge, ...]:
    """Drawn edges, the largest first."""
    n, weights = len(traced.chosen), pruned.weights
    drawn: list[Pair] = [(t, s) for t, s in np.argwhere(pruned.kept.edges).tolist()]
    drawn.sort(key=lambda at: -abs(weights[at]))
    heads = _heads(traced, drawn)
    found = []
    for t, s in drawn:
        weight, loading = float(weights[t, s]), heads.get((t, s))
        reader = nodes[t].id if t < n else "logit"
        if loading is None:
            found.append(Edge(nodes[s].id, reader, weight))
        else:
            split = tuple(strongest(loading, HEADS_SHOWN))
            found.append(Edge(nodes[s].id, reader, weight, split, weight - float(loading.sum())))
    return tuple(found)


def _heads(traced: Traced, drawn: list[Pair]) -> dict[Pair, Float[Tensor, "l h"]]:
    """Head loadings of edges from what is written once, the strongest first as far as the budget goes."""
    clean, flow, chosen = traced.question.clean, traced.flow, traced.chosen
    pairs = [(t, s) for t, s in drawn if traced.matrix.columns.find(s)[0] in CARRIED]
    readers_at_most = max(1, CARRIED_FOR_HEADS // clean.frozen.n_positions)
    split = set(list(dict.fromkeys(t for t, _ in pairs))[:readers_at_most])
    pairs = [(t, s) for t, s in pairs if t in split]
    if not pairs:
        return {}
    readers = read_vectors(clean, traced.question.target, chosen)
    rows, columns = torch.tensor(pairs, device=chosen.blocks.device).T
    units, others = from_units(clean, flow, chosen), from_outside(flow)
    others = replace(others, vectors=others.vectors.to(units.vectors.dtype))
    sources = Placed.joined([units, others]).take(columns)
    found = head_loadings(LinearOperator(clean, flow.start), readers, sources, rows)
    return dict(zip(pairs, found, strict=True))


def _numbers(traced: Traced, pruned: _Pruned, drawn_edges: int) -> dict[str, Any]:
    """Figures of the whole graph, what is drawn of it and what is not."""
    matrix, flow, n = traced.matrix, traced.flow, len(traced.chosen)
    explained = float(matrix.linear[n].sum() / matrix.value[n]) if float(matrix.value[n]) else 0.0
    numbers: dict[str, Any] = {
        "candidates": int((traced.scores.units != 0).sum()),
        "units": n,
        "drawn_nodes": int(pruned.kept.nodes.sum()),
        "drawn_edges": drawn_edges,
        "direct_share_of_target": explained,
        "largest_imbalance": float(matrix.imbalance().max()),
        "replacement_score": pruned.scores.replacement,
        "completeness_score": pruned.scores.completeness,
    }
    if flow.against:
        numbers["differing_share"] = int(flow.differs.sum()) / traced.question.clean.n_candidates
    else:
        numbers["share_at_position_0"] = _at_position_0(traced)
    return numbers


def _at_position_0(traced: Traced) -> float:
    """Of the chosen units' attribution without signs, what stands at the first token, where models park attention."""
    chosen = traced.chosen
    scores = traced.scores.units[chosen.blocks, chosen.positions, chosen.units].abs()
    return float(scores[chosen.positions == 0].sum() / scores.sum())


def _assemble(
    traced: Traced,
    config: TraceConfig,
    card: RunCard,
    nodes: dict[int, Node],
    edges: tuple[Edge, ...],
    numbers: dict[str, Any],
) -> Graph:
    question, matrix = traced.question, traced.matrix
    model, clean, target = question.model, question.clean.frozen, question.target
    other = None if question.other is None else question.other.frozen
    texts = tuple(token_text(model, i) for i in clean.ids)
    logit = nodes[max(nodes)]
    return Graph(
        prompt=question.inputs if isinstance(question.inputs, str) else "".join(texts),
        counterfactual=None if other is None else _text(question),
        tokens=texts,
        counterfactual_tokens=None if other is None else tuple(token_text(model, i) for i in other.ids),
        ids=tuple(clean.ids),
        counterfactual_ids=None if other is None else tuple(other.ids),
        target=target.texts,
        against=target.against_texts,
        target_ids=target.ids if isinstance(target, TokenTarget) else (),
        against_ids=target.against_ids if isinstance(target, TokenTarget) else (),
        target_position=target.position % clean.n_positions,
        value=logit.value,
        counterfactual_value=logit.counterfactual_value,
        n_layers=len(clean.layers),
        blocks=tuple(block.name for block in question.clean.blocks),
        nodes=tuple(nodes.values()),
        edges=edges,
        ranking=_ranking(traced, config.ranked),
        summary_numbers=numbers,
        card=card.to_dict(),
        matrix=(matrix.linear.cpu().numpy(), *names(traced)),
    )


def _text(question: Any) -> str:
    model, other = question.model, question.other_inputs
    return other if isinstance(other, str) else "".join(token_text(model, i) for i in question.other.frozen.ids)


def _ranking(traced: Traced, most: int) -> tuple[tuple[int, int, int, float], ...]:
    scores, clean = traced.scores.units, traced.question.clean.blocks
    flat = scores.flatten()
    best = flat.abs().topk(min(most, int((flat != 0).sum()))).indices
    blocks, positions, columns = (x.tolist() for x in torch.unravel_index(best, scores.shape))
    ids = [block.ids.tolist() for block in clean]
    units = [ids[block][column] for block, column in zip(blocks, columns, strict=True)]
    return tuple(zip(blocks, positions, units, flat[best].tolist(), strict=True))
