"""Path patching: the exact effect of single edges.

Goldowsky-Dill et al. 2023 and Wang et al. 2022 (arXiv 2211.00593): the reader's input is recomputed with the source's
output alone exchanged, all between them as in the clean run, and everything from the reader on is live.
"""

from dataclasses import dataclass

import torch

from microtome.circuit.patching.case import Case, candidates
from microtome.circuit.patching.components import Components, Edge
from microtome.circuit.patching.method import METHODS, Found
from microtome.core.config import Config
from microtome.core.errors import UnknownName
from microtome.core.progress import track


@METHODS.register("path", summary="exact effect of each edge: one rewired pass an edge")
@dataclass(frozen=True)
class PathPatching(Config):
    """Settings of path patching.

    Attributes:
        sources: names of those whose edges are tried; all where none is given.
        readers: likewise.
        together: patch all edges of a source into the readers at once, which is then the score of the source as
            a node: the effect of the paths that pass through these readers.
    """

    sources: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()
    together: bool = False

    def score(self, case: Case) -> Found:
        """M(clean) − M(edge patched), averaged over rows; a node's score is that of its strongest edge."""
        components = case.components
        tried = self._tried(components)
        groups = [[edge] for edge in tried]
        if self.together:
            names = dict.fromkeys(source for source, _ in tried)
            groups = [[edge for edge in tried if edge[0] == name] for name in names]
        total = torch.zeros(len(groups), dtype=torch.float64)
        for bench in case.benches():
            rows, other = bench.rows, case.absent(bench.rows, zero=False)
            before = case.measure(rows)
            for some in track(candidates(len(groups), len(rows), case.size), "patching edges"):
                patched = torch.zeros(len(some), *components.exists.shape, dtype=torch.bool)
                for i, which in enumerate(some.tolist()):
                    for edge in groups[which]:
                        patched[i][components.place(edge)] = True
                many = rows.repeated(len(some))
                wide = patched.repeat_interleave(len(rows), 0)
                after = case.rewired(bench, other.repeat(len(some), 1, 1, 1), wide, many)
                total[some] += (before - after.unflatten(0, (len(some), len(rows)))).sum(1).double().cpu()
        scores = (total / len(case.pairs)).tolist()
        if self.together:
            return Found(nodes={group[0][0]: score for group, score in zip(groups, scores, strict=True)})
        edges = torch.full(components.exists.shape, torch.nan, dtype=torch.float64)
        for edge, score in zip(tried, scores, strict=True):
            edges[components.place(edge)] = score
        return Found(strongest(dict(zip(tried, scores, strict=True))), edges, tried)

    def _tried(self, components: Components) -> tuple[Edge, ...]:
        for kind, asked, known in (
            ("source", self.sources, components.sources),
            ("reader", self.readers, components.readers),
        ):
            for name in asked:
                if name not in known:
                    raise UnknownName(kind, name, known, do="name one of this network's")
        return tuple(
            edge for edge in components.edges
            if (not self.sources or edge[0] in self.sources) and (not self.readers or edge[1] in self.readers)
        )  # fmt: skip


def strongest(scores: dict[Edge, float]) -> dict[str, float]:
    """Each source's score that is largest in size, with its sign."""
    found: dict[str, float] = {}
    for (source, _), score in scores.items():
        if source not in found or abs(score) > abs(found[source]):
            found[source] = score
    return found
