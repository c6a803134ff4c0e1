"""AtP*: attribution patching with its two worst misses mended.

Kramár et al. 2024, arXiv 2403.00745. *QK fix*: where queries or keys change, the pattern is computed anew and its
change meets the pattern's gradient, since the gradient through a saturated softmax is next to nothing. *GradDrop*: a
direct and an indirect effect that cancel hide a node; so the gradient is taken again and again, each time without
what one layer passes on, and sizes are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Bench, Case
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.methods.attribution import first_order, named
from microtome.circuit.patching.nodes import Place, places
from microtome.core.config import Config
from microtome.model import edits
from microtome.model.attention import pattern_of
from microtome.model.edits import Edit


@METHODS.register("atp-star", summary="attribution patching with the QK fix and GradDrop")
@dataclass(frozen=True)
class AtpStar(Config):
    """Settings of AtP*.

    Attributes:
        kinds: which nodes: `embed`, `head`, `mlp`, `unit`, `q`, `k`, `v`.
        qk_fix: compute patterns anew for queries and keys.
        grad_drop: average sizes over gradients that each leave out one layer. Scores are then sizes, and carry the
            sign of the estimate without dropping, so that positive still supports the target.
    """

    kinds: tuple[str, ...] = ("embed", "head", "mlp", "q", "k", "v")
    qk_fix: bool = True
    grad_drop: bool = True

    def score(self, case: Case) -> Found:
        """c(n) = E_x [1/(L − 1) Σ_l |I_l(n)|], where I_l has no gradient through layer l; or E_x[I(n)]."""
        nodes = places(case.anatomy, self.kinds)
        plain = torch.zeros(len(nodes), dtype=torch.float64)
        sizes = torch.zeros(len(nodes), dtype=torch.float64)
        layers = case.components.n_layers
        for bench in case.benches():
            plain += self._estimate(case, bench, nodes).sum(0).double().cpu()
            for i in range(layers if self.grad_drop else 0):
                elsewhere = torch.tensor([node.layer != i for node in nodes])
                sizes += self._estimate(case, bench, nodes, dropped(i)).abs().sum(0).double().cpu() * elsewhere
        signs = torch.where(plain < 0, -1.0, 1.0)
        total = signs * sizes / max(1, layers - 1) if self.grad_drop else plain
        return Found(named(nodes, total / len(case.pairs)))

    def _estimate(
        self, case: Case, bench: Bench, nodes: list[Place], edits: Sequence[Edit] = ()
    ) -> Float[Tensor, "b n"]:
        found = first_order(case, bench.rows, nodes, edits)
        if not self.qk_fix or not {"q", "k"} & {*self.kinds}:
            return found
        fixed = by_patterns(case, bench, edits)
        where = {node.name: i for i, node in enumerate(nodes)}
        for name, values in fixed.items():
            if name in where:
                found[:, where[name]] = values
        return found


def dropped(layer: int) -> list[Edit]:
    """Edits under which no gradient flows through what a layer adds; no value changes."""
    return [edits.set(f"{branch}.out.{layer}", Tensor.detach, may_be_empty=True) for branch in ("attn", "mlp")]


def by_patterns(case: Case, bench: Bench, edits: Sequence[Edit]) -> dict[str, Float[Tensor, "b"]]:
    """Scores of all queries and keys by the change of the pattern times its gradient, summed over positions.

    A query changes its own row of the pattern; a key its own column, and through the softmax the others with it:
    each key's position is changed by itself.
    """
    rows, g = bench.rows, case.components.g
    other = case.model.run(rows.other, ["attn.q.*", "attn.k.*"])
    run = case.gradients(rows, ["resid.*", "attn.scores.*", "attn.pattern.*"], edits)
    found: dict[str, Tensor] = {}
    for i in range(case.components.n_layers):
        scores, pattern = run[f"attn.scores.{i}"], run[f"attn.pattern.{i}"]
        gradient, stream = run.grad[f"attn.pattern.{i}"], run[f"resid.{i}"]
        sinks = case.anatomy.layers[i].sinks
        by_query, by_key = (
            bench.projections(i, stream, last="scores", instead={part: other[f"attn.{part}.{i}"]})["scores"]
            for part in ("q", "k")
        )
        queries = ((pattern - pattern_of(by_query, sinks)) * gradient).sum((2, 3))
        keys = torch.zeros_like(queries)
        for position in range(scores.shape[-1]):
            changed = scores.clone()
            changed[..., position] = by_key[..., position]
            keys += ((pattern - pattern_of(changed, sinks)) * gradient).sum((2, 3))
        found |= {f"head.{i}.{head}.q": one for head, one in enumerate(queries.unbind(1))}
        found |= {f"head.{i}.{head}.k": one for head, one in enumerate(keys.unflatten(1, (g, -1)).sum(2).unbind(1))}
    return found
