"""Indirect influence on the target, and pruning by it.

Ameisen et al. 2025, "Circuit Tracing", appendix on graph pruning: rows of absolute edge weights are
normalised to one, so that an entry is the share of a node's input; influence sums the products of shares
over all paths to the target.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import solve_triangular

EPSILON = 1e-10


@dataclass(frozen=True, eq=False)
class Shares:
    """What share of its input each node has from every other.

    Attributes:
        given: rows of targets, columns of all nodes; each row stands after those of its sources, and sums to 1.
        rows: the column that each row's node has.
        start: weight of the target nodes (the logit's probability or 1), zero elsewhere.
    """

    given: Float[np.ndarray, "t s"]
    rows: Int[np.ndarray, "t"]
    start: Float[np.ndarray, "s"]

    @classmethod
    def of(
        cls, weights: Float[np.ndarray, "t s"], rows: Int[np.ndarray, "t"], start: Float[np.ndarray, "s"]
    ) -> "Shares":
        """Absolute weights, each row divided by its sum; an empty row stays empty."""
        given = np.abs(weights)
        given /= np.maximum(given.sum(1, keepdims=True), EPSILON)
        return cls(given, rows, start)

    @cached_property
    def influence(self) -> Float[np.ndarray, "s"]:
        """Of every source on the target: start · (A + A² + …) = start · ((1 − A)⁻¹ − 1), A having no cycle."""
        among = self.given[:, self.rows]
        np.negative(among, out=among)
        # The transpose of rows that lie in order is in the order of columns: scipy then needs no copy.
        carried = solve_triangular(among.T, self.start[self.rows], lower=False, unit_diagonal=True)
        return carried @ self.given

    def within(self, nodes: Bool[np.ndarray, "s"], beside: Bool[np.ndarray, "s"]) -> "Shares":
        """Of some nodes alone, and of columns beside them that are none; shares stay what they were."""
        columns = np.flatnonzero(nodes | beside)
        rows = self.rows[nodes[self.rows]]
        given = self.given[np.ix_(nodes[self.rows], nodes | beside)]
        return Shares(given, np.searchsorted(columns, rows), self.start[columns])


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


def graph_scores(shares: Shares, tokens: Bool[np.ndarray, "s"], errors: Bool[np.ndarray, "s"]) -> GraphScores:
    """Both scores of a graph before it is pruned.

    Args:
        shares: of all columns.
        tokens, errors: of all columns. What is neither, such as biases, ends no path that counts.
    """
    of_tokens, of_errors = shares.influence[tokens].sum(), shares.influence[errors].sum()
    weight = (shares.influence + shares.start)[shares.rows]
    missing = shares.given[:, errors].sum(1)
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
    shares: Shares,
    always: Bool[np.ndarray, "s"],
    never: Bool[np.ndarray, "s"],
    *,
    node_share: float = 0.8,
    edge_share: float = 0.98,
) -> Kept:
    """Keeps the nodes, then the edges, that carry the given shares of all influence.

    Args:
        shares: of all columns.
        always: columns kept whatever they carry (tokens, the logit).
        never: columns that are no nodes (remainders): they have their share of what nodes are given, and are not drawn.
        node_share: of the influence of all nodes that are drawn or not, the cumulative share that kept ones may reach.
        edge_share: likewise for edges of the pruned graph.
    """
    rows = shares.rows
    nodes = _top(shares.influence * ~(never | always), node_share) | always
    alive = shares.within(nodes, never)
    score = alive.given * (alive.influence + alive.start)[alive.rows][:, None]
    score[:, never[nodes | never]] = 0
    edges = np.zeros(shares.given.shape, bool)
    edges[np.ix_(nodes[rows], nodes | never)] = _top(score.ravel(), edge_share).reshape(score.shape)
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
