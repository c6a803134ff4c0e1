"""Indirect influence on the target, and pruning by it.

Ameisen et al. 2025, "Circuit Tracing", appendix on graph pruning: rows of absolute edge weights are
normalised to one, so that an entry is the share of a node's input; influence sums the products of shares
over all paths to the target.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

EPSILON = 1e-10


def shares(weights: Float[np.ndarray, "t s"]) -> Float[np.ndarray, "t s"]:
    """Absolute weights, each row divided by its sum; an empty row stays empty."""
    absolute = np.abs(weights)
    return absolute / np.maximum(absolute.sum(1, keepdims=True), EPSILON)


def influence(
    share: Float[np.ndarray, "t s"], rows: Int[np.ndarray, "t"], start: Float[np.ndarray, "s"]
) -> Float[np.ndarray, "s"]:
    """Influence of every source on the target: start · (A + A² + …) = start · ((1 − A)⁻¹ − 1), A having no cycle.

    Args:
        share: rows of targets, columns of all nodes; each row stands after those of its sources.
        rows: the column that each row's node has.
        start: weight of the target nodes (the logit's probability or 1), zero elsewhere.
    """
    among = share[:, rows]
    carried = solve_triangular(-among, start[rows], trans=1, lower=True, unit_diagonal=True)
    return carried @ share


@dataclass(frozen=True)
class GraphScores:
    """How far back to the tokens a graph leads (Ameisen et al. 2025, "Circuit Tracing", graph scores); from 0 to 1.

    Errors are all inputs that no node stands for: errors of dictionaries, remainders, what the operator misses.

    Attributes:
        replacement: of the influence that ends at tokens or at errors, the share that ends at tokens.
        completeness: of what nodes are given, weighed by their own influence, the share that is no error.
    """

    replacement: float
    completeness: float


def graph_scores(
    share: Float[np.ndarray, "t s"],
    rows: Int[np.ndarray, "t"],
    start: Float[np.ndarray, "s"],
    tokens: Bool[np.ndarray, "s"],
    errors: Bool[np.ndarray, "s"],
) -> GraphScores:
    """Both scores of a graph before it is pruned.

    Args:
        share, rows, start: as for `influence`.
        tokens, errors: of all columns. What is neither, such as biases, ends no path that counts.
    """
    carried = influence(share, rows, start)
    of_tokens, of_errors = carried[tokens].sum(), carried[errors].sum()
    weight = (carried + start)[rows]
    missing = share[:, errors].sum(1)
    return GraphScores(
        float(of_tokens / max(of_tokens + of_errors, EPSILON)),
        float(1 - weight @ missing / max(weight.sum(), EPSILON)),
    )


@dataclass(frozen=True)
class Kept:
    """What pruning keeps.

    Attributes:
        nodes: of all columns; edges: of the matrix.
    """

    nodes: Bool[np.ndarray, "s"]
    edges: Bool[np.ndarray, "t s"]


def prune(
    share: Float[np.ndarray, "t s"],
    rows: Int[np.ndarray, "t"],
    start: Float[np.ndarray, "s"],
    always: Bool[np.ndarray, "s"],
    never: Bool[np.ndarray, "s"],
    *,
    node_share: float = 0.8,
    edge_share: float = 0.98,
) -> Kept:
    """Keeps the nodes, then the edges, that carry the given shares of all influence.

    Args:
        share, rows, start: as for `influence`.
        always: columns kept whatever they carry (tokens, the logit).
        never: columns that are no nodes (remainders): they have their share of what nodes are given, and are not drawn.
        node_share: of the influence of all nodes that are drawn or not, the cumulative share that kept ones may reach.
        edge_share: likewise for edges of the pruned graph.
    """
    carried = influence(share, rows, start)
    nodes = _top(carried * ~(never | always), node_share) | always
    alive = share * nodes[rows][:, None] * (nodes | never)[None]
    inner = influence(alive, rows, start)
    score = alive * (inner + start)[rows][:, None] * ~never
    edges = _top(score.ravel(), edge_share).reshape(score.shape) & nodes[None]
    return connected(nodes, edges, rows, always)


def _top(score: Float[np.ndarray, "n"], share: float) -> Bool[np.ndarray, "n"]:
    """The largest scores whose cumulative share stays within the bound; never what scores nothing."""
    scoring = (score > 0).nonzero()[0]
    order = scoring[np.argsort(-score[scoring], kind="stable")]
    cumulative = np.cumsum(score[order]) / max(score.sum(), EPSILON)
    kept = np.zeros(len(score), bool)
    kept[order[cumulative <= share + EPSILON]] = True
    return kept


def connected(
    nodes: Bool[np.ndarray, "s"],
    edges: Bool[np.ndarray, "t s"],
    rows: Int[np.ndarray, "t"],
    always: Bool[np.ndarray, "s"],
) -> Kept:
    """Drops nodes that lead nowhere, again and again until none is left.

    A node that no edge which is kept leads to stays: what it is given stands in its remainder.
    """
    while True:
        edges = edges & nodes[None] & nodes[rows][:, None]
        lost = nodes & ~always & ~edges.any(0)
        if not lost.any():
            return Kept(nodes, edges)
        nodes = nodes & ~lost
