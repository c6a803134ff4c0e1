"""Edge attribution patching: every edge's effect to first order, from one backward pass.

Syed et al. 2023, arXiv 2310.10348: the source's change times the gradient at the reader's input, at the clean
prompt. A node's score is the sum of its edges', which is its attribution-patching score where no norm follows
attention.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Case
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.reading import edge_scores
from microtome.core.config import Config


@METHODS.register("eap", summary="each edge's effect to first order: change times gradient at the clean prompt")
@dataclass(frozen=True)
class EdgeAttributionPatching(Config):
    """Edge attribution patching has no settings."""

    def score(self, case: Case) -> Found:
        """-(z_u(x') - z_u(x)) · dM/d(input of v) at x, summed over positions and averaged over rows."""
        total = torch.zeros(len(case.components.sources), len(case.components.readers), dtype=torch.float64)
        for bench in case.benches():
            clean, other = case.outputs(bench.rows)
            total += edge_scores(case, bench, clean - other, bench.rows).double().cpu()
        return summed(case, total / len(case.pairs))


def summed(case: Case, edges: Float[Tensor, "s r"]) -> Found:
    """The edges' scores, and each node's as the sum of its own."""
    return Found(dict(zip(case.components.sources, edges.sum(1).tolist(), strict=True)), edges)
