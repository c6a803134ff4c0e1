"""Scores of nodes and edges of a component graph: what every method of patching gives."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microtome.circuit.patching.components import Components, Edge
from microtome.core.artefact import read_artefact, write_json
from microtome.core.errors import FormatError, WrongUse

if TYPE_CHECKING:
    from microtome.circuit.graph import Graph

KIND, FORMAT = "patching scores", 1


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """How much the metric falls when a node or an edge takes its counterfactual value: positive supports the target.

    Scores are attributions and no evidence: that a circuit made of them is one is for `kept` and its nulls to say.

    Attributes:
        method: that gave them.
        components: the graph that they are about.
        nodes: by name: `embed`, `head.L.H`, `mlp.L`; with some methods `unit.L.U` and `head.L.H.q`.
        edges: by source and reader; empty for methods that score nodes alone.
        clean, other: the metric's mean over the clean prompts, and with all edges patched.
        kept: the circuit that the method itself settles on; None for most.
        order: edges in the order in which they were left out, for methods that do so one by one.
        card: how they were made.
    """

    method: str
    components: Components
    nodes: Mapping[str, float]
    edges: Mapping[Edge, float]
    clean: float
    other: float
    kept: frozenset[Edge] | None
    order: tuple[Edge, ...]
    card: dict[str, Any]

    def __repr__(self) -> str:
        span = f"metric {self.clean:.3g} clean, {self.other:.3g} patched"
        return f"Scores({self.method!r}: {len(self.nodes):,} nodes, {len(self.edges):,} edges; {span})"

    def top(self, n: int = 10, *, absolute: bool = True) -> list[tuple[str | Edge, float]]:
        """The n nodes, or edges where there are any, with the largest scores."""
        return _ranked({**self.edges} if self.edges else {**self.nodes}, absolute)[:n]

    def circuit(self, n_edges: int, *, absolute: bool = True, connected: bool = True) -> frozenset[Edge]:
        """The edges with the largest scores.

        Args:
            n_edges: how many; fewer come back where some are on no path.
            absolute: rank by size, so that edges which work against the target are in it too; else by sign.
            connected: leave out those that lie on no path from the embedding to the logits.

        Raises:
            WrongUse: the method scored no edges, or fewer.
        """
        if not 0 < n_edges <= len(self.edges):
            raise WrongUse(
                f"make a circuit of {n_edges:,} edges from scores of {self.method!r}",
                found=f"{len(self.edges):,} edges with a score",
                do="ask for 1 or more of those, or use a method that scores edges, such as 'eap-ig'",
            )
        chosen = frozenset(edge for edge, _ in _ranked({**self.edges}, absolute)[:n_edges])
        return self.components.connected(chosen) if connected else chosen

    def to_graph(self, n_edges: int = 500, *, absolute: bool = True) -> "Graph":
        """The graph that reports and tables take: the largest edges on a path, or all nodes where no edge has a score.

        Args:
            n_edges: as for `circuit`; all where there are fewer.
            absolute: likewise.
        """
        from microtome.circuit.patching.graphing import graph_of

        edges = self.circuit(min(n_edges, len(self.edges)), absolute=absolute) if self.edges else frozenset()
        return graph_of(self, edges)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "method": self.method,
            "components": asdict(self.components),
            "nodes": {**self.nodes},
            "edges": [[*edge, score] for edge, score in self.edges.items()],
            "clean": self.clean,
            "other": self.other,
            "kept": None if self.kept is None else sorted(map(list, self.kept)),
            "order": [list(edge) for edge in self.order],
            "card": self.card,
        }

    def save(self, path: str | Path) -> Path:
        """Writes them as one JSON file, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Scores":
        """Reads what `save` wrote.

        Raises:
            MissingFile, FormatError: there is no such file, or it holds no scores.
        """
        keys = ("method", "components", "nodes", "edges", "clean", "other", "kept", "order")
        found = read_artefact(path, kind=KIND, format=FORMAT, keys=keys)
        try:
            return cls(
                method=found["method"],
                components=Components(**found["components"]),
                nodes=found["nodes"],
                edges={(source, reader): float(score) for source, reader, score in found["edges"]},
                clean=found["clean"],
                other=found["other"],
                kept=None if found["kept"] is None else frozenset((a, b) for a, b in found["kept"]),
                order=tuple((a, b) for a, b in found["order"]),
                card=found["card"],
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise FormatError(
                f"read the {KIND} {path}", found=f"columns that are none ({error})", do="make the scores again"
            ) from error


def _ranked(scores: dict[Any, float], absolute: bool) -> list[tuple[Any, float]]:
    """Largest first; what is no number last."""

    def size(item: tuple[Any, float]) -> float:
        value = abs(item[1]) if absolute else item[1]
        return math.inf if math.isnan(value) else -value

    return sorted(scores.items(), key=size)
