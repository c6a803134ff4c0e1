"""A case: one model, pairs and a metric, and the passes that every method is made of."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.patching.components import Components
from microtome.circuit.patching.outputs import SITES, outputs, zeroed
from microtome.circuit.patching.projecting import Projections
from microtome.circuit.patching.rewired import Rewiring
from microtome.circuit.patching.rows import Metric, Pair, Rows, batches
from microtome.model.anatomy import Anatomy
from microtome.model.edits import Edit
from microtome.model.model import Model
from microtome.model.run import Run


@dataclass(frozen=True, eq=False)
class Bench:
    """Pairs of one length with what no method has to find again.

    Attributes:
        rows: the pairs, and the logits of the untouched network on them.
        projections: of prompts of this length.
    """

    rows: Rows
    projections: Projections


@dataclass(frozen=True, eq=False)
class Case:
    """What a method works on.

    Attributes:
        model: in float32 or float64, without edits.
        components: its component graph.
        pairs: at least one.
        metric: one number a row.
        size: rows that are run together.
    """

    model: Model
    components: Components
    pairs: tuple[Pair, ...]
    metric: Metric
    size: int

    @property
    def anatomy(self) -> Anatomy:
        """The model's parts."""
        return self.model.anatomy

    def benches(self, size: int | None = None) -> Iterator[Bench]:
        """The pairs in batches, each run once, untouched."""
        for rows in batches(self.model, self.pairs, self.size if size is None else size):
            projections = Projections(self.anatomy)
            with projections.listening():
                run = self.model.run(rows.clean, ["logits"], last_logits_only=rows.at_end)
            yield Bench(replace(rows, reference=rows.answers(run["logits"])), projections)

    def measure(self, rows: Rows, edits: Iterable[Edit] = ()) -> Float[Tensor, "b"]:
        """The metric of each row, run on its clean prompt under edits."""
        run = self.model.run(rows.clean, ["logits"], edits=edits, last_logits_only=rows.at_end)
        return self.metric(rows.answers(run["logits"]), rows)

    def gradients(self, rows: Rows, capture: Sequence[str], edits: Iterable[Edit] = ()) -> Run:
        """The same pass with gradients of each row's metric at some sites, in `run.grad`."""

        def summed(logits: Float[Tensor, "b p v"]) -> Float[Tensor, ""]:
            return self.metric(rows.answers(logits), rows).sum()

        return self.model.run(rows.clean, capture, backward=summed, edits=edits, last_logits_only=rows.at_end)

    def outputs(self, rows: Rows) -> tuple[Float[Tensor, "b s p d"], Float[Tensor, "b s p d"]]:
        """What every source writes on the clean prompts and on the counterfactuals."""
        clean, other = (self.model.run(ids, SITES) for ids in (rows.clean, rows.other))
        return outputs(self.anatomy, self.components, clean), outputs(self.anatomy, self.components, other)

    def absent(self, rows: Rows, *, zero: bool) -> Float[Tensor, "b s p d"]:
        """What a patched edge brings: the source's output on the counterfactual, or nothing."""
        run = self.model.run(rows.clean if zero else rows.other, SITES)
        return (zeroed if zero else outputs)(self.anatomy, self.components, run)

    def rewired(
        self, bench: Bench, other: Float[Tensor, "n s p d"], patched: Bool[Tensor, "#n s r"], rows: Rows | None = None
    ) -> Float[Tensor, "n"]:
        """The metric of each row where patched edges bring the other run's outputs.

        Args:
            bench: whose projections serve.
            other: what patched edges bring.
            patched: which are, in each row or in all.
            rows: to run instead of the bench's own, of the same length.
        """
        wiring = Rewiring(self.components, bench.projections, other, patched)
        return self.measure(bench.rows if rows is None else rows, wiring.edits())


def candidates(count: int, rows: int, size: int) -> list[Tensor]:
    """Indices of candidates in groups that are tried in one pass: as many as times the rows make about `size`."""
    return list(torch.arange(count).split(max(1, size // rows)))
