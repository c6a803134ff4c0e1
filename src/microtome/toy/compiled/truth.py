"""The true circuit of a compiled program: which parts do what, and who reads whom."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from microtome.toy.compiled.language import Indices, Program, Tokens
from microtome.toy.compiled.parts import BOS, Direction, Head, directions_of
from microtome.toy.compiled.placing import Placed

Edge = tuple[str, str]
"""From a source, `embed`, `head.L.H`, `mlp.L` or `unit.L.U`, to what reads it: `head.L.H.q`, `.k` or `.v`, `mlp.L`,
`unit.L.U` or `logits`."""


@dataclass(frozen=True)
class Wiring:
    """Some nodes and edges of a network.

    Attributes:
        nodes: `embed`, heads, units and `logits`.
        unit_edges: with MLPs as their units.
    """

    nodes: frozenset[str]
    unit_edges: frozenset[Edge]

    @property
    def edges(self) -> frozenset[Edge]:
        """With whole MLPs."""
        return frozenset((component(source), component(reader)) for source, reader in self.unit_edges)

    @property
    def components(self) -> frozenset[str]:
        """The nodes, with whole MLPs."""
        return frozenset(map(component, self.nodes))


@dataclass(frozen=True)
class Truth:
    """What is known of a network.

    Attributes:
        structural: every part that the program was compiled to, and every direction that one writes and another
            reads, whether or not what is written ever differs. `causal` of the network has what can change an answer.
        roles: of each node, in words.
        decoys: parts that compute something which changes no answer.
        idle: parts that write nothing.
        nodes_only: of a trained network, where heads and MLPs are known, and neither units nor edges.
    """

    structural: Wiring
    roles: Mapping[str, str]
    decoys: frozenset[str]
    idle: frozenset[str]
    nodes_only: bool = False


def component(name: str) -> str:
    """The same, with an MLP for its unit: `unit.2.17` is of `mlp.2`."""
    kind, _, rest = name.partition(".")
    return f"mlp.{rest.partition('.')[0]}" if kind == "unit" else name


def truth_of(program: Program, placed: Placed) -> Truth:
    """Writes down what was compiled."""
    readers = dict(reads_of(program, placed))
    edges = frozenset(
        (source, reader)
        for source, written in writes_of(program, placed).items()
        for reader, read in readers.items()
        if written & read and node_of(reader) != source
    )
    roles = {"embed": "tokens and indices", **{name: head.role for name, head in placed.heads.items()}}
    roles |= {name: unit.role for name, unit in placed.units.items()} | {"logits": program.output.name}
    decoys = frozenset(placed.decoys)
    free = (*_slots("head", placed, placed.heads_per_layer), *_slots("unit", placed, placed.units_per_layer))
    return Truth(
        Wiring(frozenset(roles), edges), roles, decoys, frozenset(name for name in free if name not in roles) - decoys
    )


def writes_of(program: Program, placed: Placed) -> dict[str, frozenset[Direction]]:
    """What each source writes."""
    embedded = frozenset({BOS, *directions_of(Tokens(), program), *directions_of(Indices(), program)})
    heads = {name: frozenset(where for _, where in head.writes) for name, head in placed.heads.items()}
    return {"embed": embedded, **heads, **{name: frozenset(unit.writes) for name, unit in placed.units.items()}}


def reads_of(program: Program, placed: Placed) -> Iterator[tuple[str, frozenset[Direction]]]:
    """What each reader reads."""
    for name, head in placed.heads.items():
        for port, reads in ports(head).items():
            yield f"{name}.{port}", reads
    for name, unit in placed.units.items():
        yield name, frozenset(unit.reads)
    yield "logits", frozenset(directions_of(program.output, program))


def ports(head: Head) -> dict[str, frozenset[Direction]]:
    """What a head reads for its queries, keys and values."""
    reads = {"q": head.queries, "k": head.keys, "v": head.values}
    return {port: frozenset(where for where, _ in weights) for port, weights in reads.items()}


def node_of(reader: str) -> str:
    """The node that a reader is part of: `head.1.2` of `head.1.2.q`."""
    return reader.rpartition(".")[0] if reader.startswith("head") else reader


def _slots(kind: str, placed: Placed, slots: int) -> Iterator[str]:
    return (f"{kind}.{layer}.{slot}" for layer in range(placed.layers) for slot in range(slots))
