"""The graph of one prompt: nodes, weighted direct edges, and the full ranking of candidates."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import save_file

from microtome.core.artefact import read_artefact, write_json, written_whole
from microtome.core.counting import counted
from microtome.core.errors import FormatError, WrongUse
from microtome.core.need import need
from microtome.core.showing import html_of
from microtome.evidence.quantity import Quantity

FORMAT = 2
Kind = Literal["embedding", "position", "unit", "head", "mlp", "bias", "error", "logit"]
Side = Literal["query", "key"]
KEYS = frozenset({"prompt", "tokens", "nodes", "edges", "ranking", "target"})


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        id: unique in the graph, e.g. `unit.mlp.neurons.12.4.77` (block, position, unit).
        block: which block of the basis a unit is of, or where an error is left: a site; None for other nodes.
        value, counterfactual_value: its activation; of the logit, the target; of an embedding, 1; of an error, its
            length.
        attribution: how much the target falls when the node takes its counterfactual value; first order.
        influence: its share of the target through all paths.
        remainder: of its input, what nodes that are not drawn wrote.
        nonlinear: of its change, what the frozen operator does not give; None without a counterfactual.
        moves: tokens whose logits its write moves most, directly, and by how much: against a counterfactual by its
            change, else by its value. Empty where none moves by as much as `nodes.NOISE`.
        direct: what of the target it brings directly, through residual connections and frozen attention alone.
    """

    id: str
    kind: Kind
    layer: int | None
    position: int | None
    unit: int | None
    label: str
    value: float
    counterfactual_value: float | None
    attribution: float
    influence: float
    remainder: float
    nonlinear: float | None
    block: str | None = None
    direct: float = 0.0
    moves: tuple[tuple[str, float], ...] = ()

    @property
    def promotes(self) -> tuple[tuple[str, float], ...]:
        """The tokens that it raises, most first."""
        return tuple(one for one in self.moves if one[1] > 0)

    @property
    def suppresses(self) -> tuple[tuple[str, float], ...]:
        """The tokens that it lowers, most first."""
        return tuple(one for one in self.moves if one[1] < 0)


@dataclass(frozen=True)
class Edge:
    """One direct edge: positive supports what it ends in.

    Attributes:
        heads: (layer, head, weight) of the heads that carried it away from its source, the few largest first.
        residual: the part that no head carried, along the stream or over biases; None where it was not split
            by heads (the weaker edges of long prompts, edges of biases).
        side: the query or the key of a head, where the edge moves what a head looks at; else None.
    """

    source: str
    target: str
    weight: float
    heads: tuple[tuple[int, int, float], ...] = ()
    residual: float | None = None
    side: Side | None = None


@dataclass(frozen=True, repr=False)
class Graph:
    """What `microtome.trace` gives. Drawn nodes and edges are pruned; what is pruned stands in remainders.

    A graph of a task, such as `patching` makes, has no tokens, and its nodes no position.

    Attributes:
        blocks: the blocks of the basis, in the order in which a prompt passes them.
        ranking: the top candidates as (index of the block, position, unit, attribution), by absolute attribution.
        matrix: before pruning, `[target, source]`, with the node ids of both; not kept in the file.
    """

    prompt: str
    counterfactual: str | None
    tokens: tuple[str, ...]
    counterfactual_tokens: tuple[str, ...] | None
    ids: tuple[int, ...]
    counterfactual_ids: tuple[int, ...] | None
    target: tuple[str, ...]
    against: tuple[str, ...]
    target_ids: tuple[int, ...]
    against_ids: tuple[int, ...]
    target_position: int
    value: float
    counterfactual_value: float | None
    n_layers: int
    blocks: tuple[str, ...]
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    ranking: tuple[tuple[int, int, int, float], ...]
    summary_numbers: dict[str, Any]
    card: dict[str, Any]
    matrix: tuple[np.ndarray, list[str], list[str]] | None = field(default=None, compare=False, repr=False)

    @property
    def basis(self) -> str:
        """What units it is told in, by the name that was given."""
        return str(self.card["config"]["basis"])

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """What was traced, as numbers: no evidence yet."""
        values = {"target": self.value, "target on the counterfactual": self.counterfactual_value}
        return (
            *(Quantity(name, value, "logits") for name, value in values.items() if value is not None),
            Quantity("nodes", len(self.nodes), "nodes"),
            Quantity("edges", len(self.edges), "edges"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "matrix"}
        found["nodes"] = [asdict(node) for node in self.nodes]
        found["edges"] = [asdict(edge) for edge in self.edges]
        found["basis"], found["summary"] = self.basis, found.pop("summary_numbers")
        return _plain(found)

    def __repr__(self) -> str:
        return f"<Graph of {self.prompt!r}: {len(self.nodes)} nodes, {len(self.edges)} edges>"

    def _repr_html_(self) -> str:
        return html_of("graph", self.to_dict())

    def save(self, path: str | Path) -> Path:
        """Writes the graph as JSON, whole or not at all."""
        return write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> "Graph":
        """Reads what `save` wrote.

        Raises:
            FormatError: it is no graph, or of a newer format.
        """
        found = read_artefact(path, kind="graph", format=FORMAT, keys=KEYS)
        try:
            return _graph(found)
        except (TypeError, KeyError, AttributeError) as error:
            raise FormatError(
                f"read the graph {path}", found=f"no whole graph ({error})", do="trace the prompt again"
            ) from error

    def save_matrix(self, path: str | Path) -> Path:
        """Writes all direct edges before pruning as safetensors, node ids in its metadata.

        Raises:
            WrongUse: the graph was read from a file, which holds pruned edges alone.
        """
        if self.matrix is None:
            raise WrongUse("save the edge matrix", found="a graph read from a file", do="trace the prompt again")
        weights, targets, sources = self.matrix
        with written_whole(path) as temporary:
            save_file(
                {"edges": np.ascontiguousarray(weights)},
                temporary,
                metadata={"targets": "\n".join(targets), "sources": "\n".join(sources)},
            )
        return Path(path)

    def to_pandas(self) -> tuple[Any, Any]:
        """Nodes and edges as two pandas tables. Needs the extra `tables`."""
        pandas = need("pandas", extra="tables")
        return pandas.DataFrame(map(asdict, self.nodes)), pandas.DataFrame(map(asdict, self.edges))

    def to_networkx(self) -> Any:
        """The graph as a networkx `DiGraph`, fields as attributes. Needs the extra `tables`."""
        made = need("networkx", extra="tables").DiGraph()
        made.add_nodes_from((node.id, asdict(node)) for node in self.nodes)
        made.add_edges_from((edge.source, edge.target, asdict(edge)) for edge in self.edges)
        return made

    def summary(self, top: int = 8) -> str:
        """A short text for people."""
        against = " or ".join(map(repr, self.against)) or "the mean logit"
        lines = [f"{self.prompt!r}: {' or '.join(map(repr, self.target))} against {against}"]
        change = (
            "" if self.counterfactual_value is None else f", {self.counterfactual_value:+.3f} on the counterfactual"
        )
        lines.append(f"  target {self.value:+.3f}{change}")
        lines += self._answers()
        drawn = [f"{counted(self.summary_numbers.get('units', 0), 'unit')} chosen"]
        drawn += [f"{counted(len(self.nodes), 'node')} and {counted(len(self.edges), 'edge')} drawn, which carry most"]
        apart = ("units", "drawn_nodes", "drawn_edges", "share_at_position_0")
        rest = {k: v for k, v in self.summary_numbers.items() if k not in apart}
        lines.append("  " + "; ".join([*drawn, *(f"{name.replace('_', ' ')} {_short(v)}" for name, v in rest.items())]))
        lines += self._at_first_token()
        units = sorted((n for n in self.nodes if n.kind == "unit"), key=lambda n: -abs(n.attribution))[:top]
        lines += [
            f"  layer {n.layer:2} {self.tokens[n.position or 0]!r:12} unit {n.unit:5}: attribution {n.attribution:+.3f}"
            f", directly {n.direct:+.3f}"
            + (f", promotes {', '.join(repr(token) for token, _ in n.promotes[:3])}" if n.promotes else "")
            for n in units
        ]
        lines += self._strongest()
        return "\n".join(lines)

    def _answers(self) -> list[str]:
        """What the model itself answers, and a warning where the target is not that."""
        found = self.card.get("data", {}).get("answers")
        if not found:
            return []
        best = ", ".join(f"{token!r} {p:.1%}" for token, p in found["clean"]["top"])
        warning = [f"  note: {found['warning']}"] if found["warning"] else []
        return [f"  the model's own answers: {best}", *warning]

    def _at_first_token(self) -> list[str]:
        """Without a counterfactual: how much stands at position 0, and why that is to be read apart."""
        share = self.summary_numbers.get("share_at_position_0")
        if share is None:
            return []
        there = counted(sum(node.position == 0 for node in self.nodes), "node")
        return [f"  at position 0: {there}, {share:.0%} of the chosen units' attribution; models park attention there "
                "whatever the text says"]  # fmt: skip

    def _strongest(self) -> list[str]:
        """The edge of which one head carried most, with that head."""
        carried = [edge for edge in self.edges if edge.heads]
        if not carried:
            return []
        edge = max(carried, key=lambda one: abs(one.heads[0][2]))
        layer, head, weight = edge.heads[0]
        ends = f"{edge.source} to {edge.target} {edge.weight:+.3f}"
        return [f"  most carried by one head: {ends}, of which head {layer}.{head} carried {weight:+.3f}"]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(one) for one in value]
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


def _graph(found: dict[str, Any]) -> Graph:
    if "blocks" not in found:
        found = found | {"blocks": _blocks_of_layers(found)}
    found = {**found, "summary_numbers": found["summary"]}
    del found["summary"]
    nodes = tuple(_node(one) for one in found.pop("nodes"))
    edges = tuple(Edge(**{k: _frozen(v) for k, v in one.items()}) for one in found.pop("edges"))
    card, numbers = found.pop("card"), found.pop("summary_numbers")
    rest = {name: _frozen(value) for name, value in found.items() if name in Graph.__dataclass_fields__}
    return Graph(nodes=nodes, edges=edges, card=card, summary_numbers=numbers, **rest)


def _node(found: dict[str, Any]) -> Node:
    """A node; those of format 1 held what they raise and lower in two lists."""
    moved = [pair for key in ("promotes", "suppresses") for pair in found.get(key, ())]
    rest = {k: _frozen(v) for k, v in found.items() if k not in ("promotes", "suppresses")}
    return Node(**{"moves": _frozen(moved), **rest})


def _blocks_of_layers(found: dict[str, Any]) -> list[str]:
    """Blocks of a graph of format 1, which knew MLPs alone: a transcoder's where it had one, neurons elsewhere."""
    covered = found["card"].get("data", {}).get("basis", {}).get("layers", [])
    return [f"mlp.out.{i}" if i in covered else f"mlp.neurons.{i}" for i in range(found["n_layers"])]
