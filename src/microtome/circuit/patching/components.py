"""The component graph: what writes to the residual stream, what reads it, and who comes before whom.

Sources are `embed`, `head.L.H` and `mlp.L`. Readers are `head.L.H.q`, `head.L.G.k`, `head.L.G.v`, `mlp.L` and
`logits`: H counts query heads and G key/value heads. Without grouped-query attention both count the same; with it,
one key or value head serves `h / g` query heads in a row. Every source is connected to every reader after it;
in families whose branches are parallel, attention and MLP of one layer do not see each other.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from microtome.core.errors import UnknownName
from microtome.model.anatomy import Anatomy

Edge = tuple[str, str]
"""A source and a reader."""
PARTS = ("q", "k", "v")


@dataclass(frozen=True)
class Components:
    """The names of one network's components, in the order in which a forward pass meets them.

    Attributes:
        n_layers: how many layers.
        h: query heads a layer; `g`: key/value heads.
        parallel: whether both branches of a layer read the stream entering it.
    """

    n_layers: int
    h: int
    g: int
    parallel: bool

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """What writes: the embedding, then each layer's heads and MLP."""
        layers = ((*(f"head.{i}.{j}" for j in range(self.h)), f"mlp.{i}") for i in range(self.n_layers))
        return ("embed", *(name for layer in layers for name in layer))

    @cached_property
    def readers(self) -> tuple[str, ...]:
        """What reads: each layer's queries, keys, values and MLP, then the logits."""
        heads = {"q": self.h, "k": self.g, "v": self.g}
        layers = (
            (*(f"head.{i}.{j}.{part}" for part in PARTS for j in range(heads[part])), f"mlp.{i}")
            for i in range(self.n_layers)
        )
        return (*(name for layer in layers for name in layer), "logits")

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Every connection, readers in order and the sources of each in order."""
        return tuple(
            (source, reader)
            for reader in self.readers
            for source in self.sources[: self.before(reader)]
        )  # fmt: skip

    def before(self, reader: str) -> int:
        """How many sources stand before a reader: these, and no others, are what it reads."""
        if reader == "logits":
            return len(self.sources)
        layer = self.layer(reader)
        entering = 1 + layer * (self.h + 1)
        return entering + (self.h if reader.startswith("mlp") and not self.parallel else 0)

    def layer(self, name: str) -> int:
        """The layer that a head or an MLP is in."""
        return int(name.split(".")[1])

    def heads(self, layer: int) -> slice:
        """Where a layer's heads stand among the sources; its MLP comes next."""
        return slice(1 + layer * (self.h + 1), 1 + layer * (self.h + 1) + self.h)

    def mlp(self, layer: int) -> int:
        """Where a layer's MLP stands among the sources."""
        return self.heads(layer).stop

    def part(self, layer: int, part: str) -> slice:
        """Where the `q`, `k`, `v` or `mlp` of a layer stand among the readers."""
        start = layer * (self.h + 2 * self.g + 1)
        sizes = {"q": self.h, "k": self.g, "v": self.g, "mlp": 1}
        for name, size in sizes.items():
            if name == part:
                return slice(start, start + size)
            start += size
        raise AssertionError(f"no part of a layer is called {part!r}")

    def owners(self, reader: str) -> tuple[str, ...]:
        """The nodes that a reader is an input of; several query heads share a key or value head."""
        if not reader.startswith("head"):
            return (reader,)
        _, layer, index, part = reader.split(".")
        share = 1 if part == "q" else self.h // self.g
        return tuple(f"head.{layer}.{i}" for i in range(int(index) * share, (int(index) + 1) * share))

    def inputs(self, node: str) -> tuple[str, ...]:
        """The readers of a node."""
        if not node.startswith("head"):
            return () if node == "embed" else (node,)
        _, layer, index = node.split(".")
        group = int(index) * self.g // self.h
        return (f"{node}.q", f"head.{layer}.{group}.k", f"head.{layer}.{group}.v")

    @cached_property
    def source_index(self) -> dict[str, int]:
        """Where each source stands."""
        return {name: i for i, name in enumerate(self.sources)}

    @cached_property
    def reader_index(self) -> dict[str, int]:
        """Where each reader stands."""
        return {name: i for i, name in enumerate(self.readers)}

    @cached_property
    def exists(self) -> Bool[Tensor, "s r"]:
        """Which pairs of a source and a reader are an edge."""
        before = torch.tensor([self.before(reader) for reader in self.readers])
        return torch.arange(len(self.sources))[:, None] < before

    def place(self, edge: Edge) -> tuple[int, int]:
        """Where an edge stands among sources and readers.

        Raises:
            UnknownName: there is no such edge; the message names the nearest.
        """
        source, reader = edge
        if reader not in self.reader_index:
            raise UnknownName("reader", reader, self.readers, do="name one of this network's, such as 'mlp.0'")
        if source not in self.sources[: self.before(reader)]:
            known = self.sources[: self.before(reader)]
            raise UnknownName(f"source before {reader!r}", source, known, do="name a component that comes before it")
        return self.source_index[source], self.reader_index[reader]

    def connected(self, edges: frozenset[Edge]) -> frozenset[Edge]:
        """Those edges that lie on a path from the embedding to the logits."""
        by_reader: dict[str, set[str]] = {}
        for source, reader in edges:
            by_reader.setdefault(reader, set()).add(source)
        fed = {"embed"}
        for node in self.sources[1:]:
            if any(by_reader.get(reader, set()) & fed for reader in self.inputs(node)):
                fed.add(node)
        heard = {"logits"}
        for node in reversed(self.sources):
            if any(node == source and heard & {*self.owners(reader)} for source, reader in edges):
                heard.add(node)
        return frozenset(
            (source, reader) for source, reader in edges if source in fed and heard & {*self.owners(reader)}
        )


def components_of(anatomy: Anatomy) -> Components:
    """The component graph of a network."""
    return Components(anatomy.n_layers, anatomy.sizes.h, anatomy.sizes.g, anatomy.parallel)
