"""One finder's claims about one network, held to the truth and to what shuffled claims would reach."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from microtome.bench.circuits.finders import Claims
from microtome.circuit.patching.components import Components, Edge
from microtome.metrics.retrieval import auroc, precision, recall
from microtome.toy.compiled.truth import Truth, Wiring

Name = TypeVar("Name", str, Edge)

COMPONENTS, UNITS, SEEN, EDGES = "heads and MLPs", "heads and units", "heads and units in sight", "edges"
TRAINED = "heads and MLPs, trained"
"""Of networks that were trained, of which no more is known."""
LEVELS = (COMPONENTS, UNITS, SEEN, EDGES, TRAINED)
FIGURES = ("precision", "recall", "auroc")
RANDOM, CELLS = "random circuit", "shuffled in each layer"
"""Scores dealt to any node, as many kept: a random circuit of equal size; and dealt anew inside each layer and kind."""


@dataclass(frozen=True, eq=False)
class Level(Generic[Name]):
    """A way to look at claims.

    Attributes:
        name: of `LEVELS`.
        scores: of all that is scored there.
        true: what is in the circuit.
        wanted: what of it is asked for: all, or what the finder could see.
    """

    name: str
    scores: Mapping[Name, float]
    true: frozenset[Name]
    wanted: frozenset[Name]

    def figures(self, bound: float | None) -> dict[str, float | None]:
        """Precision against all that is true, recall of what is wanted, and how well the ranking tells it."""
        found = self.found(bound)
        # What is true and out of sight is no mistake to rank low, and none to rank high.
        asked = {name: score for name, score in self.scores.items() if name in self.wanted or name not in self.true}
        return {
            "precision": precision(found, self.true),
            "recall": recall(found, self.wanted),
            "auroc": auroc(asked, self.wanted),
        }

    def found(self, bound: float | None) -> Collection[Name]:
        """What counts as found: scores from a bound on, or as many of the largest as are wanted."""
        if bound is not None:
            return [name for name, score in self.scores.items() if score > bound]
        return sorted(self.scores, key=lambda name: -self.scores[name])[: len(self.wanted)]

    def dealt(self, random: np.random.Generator, *, cells: bool) -> "Level[Name]":
        """The same scores, dealt to other names: to any, or inside each cell."""
        names = list(self.scores)
        values = np.array([self.scores[name] for name in names])
        of = np.array([_cell(name) if cells else "" for name in names])
        for cell in np.unique(of):
            places = np.flatnonzero(of == cell)
            values[places] = values[random.permutation(places)]
        return Level(self.name, dict(zip(names, values.tolist(), strict=True)), self.true, self.wanted)


def levels(
    claims: Claims, truth: Truth, causal: Wiring, components: Components, *, sees_queries: bool
) -> Iterator[Level[Any]]:
    """Every way to look at what a finder has scored.

    Args:
        claims: of nodes and edges.
        truth: of the network; who is in its circuit is no mistake.
        causal: what of the circuit can change an answer of the task: who is in it has to be found.
        components: of the network.
        sees_queries: whether the finder can see why a head looks where it looks; where it holds attention still, what
            it could see is asked of it as well.
    """
    structural, sizes = truth.structural, {name: abs(score) for name, score in claims.nodes.items()}
    coarse = {name: size for name, size in sizes.items() if name.startswith(("head", "mlp"))}
    if any(name.startswith("mlp") for name in coarse):
        named = TRAINED if truth.nodes_only else COMPONENTS
        yield Level(named, coarse, structural.components, causal.components.intersection(coarse))
    if truth.nodes_only:
        return
    fine = {name: size for name, size in sizes.items() if name.startswith(("head", "unit"))}
    if any(name.startswith("unit") for name in fine):
        yield Level(UNITS, fine, structural.nodes, causal.nodes.intersection(fine))
        if not sees_queries:
            yield Level(SEEN, fine, structural.nodes, in_sight(causal).intersection(fine))
    if claims.edges:
        scores = {edge: abs(claims.edges.get(edge, 0.0)) for edge in components.edges}
        yield Level(EDGES, scores, structural.edges, causal.edges)


def in_sight(truth: Wiring) -> frozenset[str]:
    """The nodes that reach the logits by values of heads and by MLPs alone, attention being held where it is."""
    heard, edges = {"logits"}, [edge for edge in truth.unit_edges if not edge[1].endswith((".q", ".k"))]
    while more := {source for source, reader in edges if reader.removesuffix(".v") in heard} - heard:
        heard |= more
    return frozenset(heard)


def _cell(name: str | Edge) -> str:
    """The layer and kind of a node; of an edge, those of both ends."""
    if isinstance(name, tuple):
        return " ".join(map(_cell, name))
    kind, _, rest = name.partition(".")
    layer, _, rest = rest.partition(".")
    return f"{kind} {layer} {rest.partition('.')[2]}"


def held_to(level: Level[Any], bound: float | None, draws: int, seed: int) -> dict[str, Any]:
    """A level's figures, and those of its nulls, draw by draw."""
    random = np.random.default_rng(seed)
    dealt = {
        null: [level.dealt(random, cells=null == CELLS).figures(bound) for _ in range(draws)]
        for null in (RANDOM, CELLS)
    }  # fmt: skip
    nulls = {null: {figure: [one[figure] for one in of] for figure in FIGURES} for null, of in dealt.items()}
    return {
        "figures": level.figures(bound), "nulls": nulls, "found": len(level.found(bound)), "true": len(level.wanted),
        "of": len(level.scores),
    }  # fmt: skip
