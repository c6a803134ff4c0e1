"""EAP with integrated gradients: the gradient is averaged on the way between the two prompts.

Hanna et al. 2024, arXiv 2403.17806. With `path="inputs"` embeddings go from the counterfactual's to the clean ones and
the whole network follows; with `"activations"` one layer's heads, or its MLP, go at a time while all else is clean, at
the price of a pass for each of them. The midpoint rule has an error quadratic in the step; the reference's left rule
starts at the counterfactual itself and never reaches the clean prompt.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Bench, Case
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.methods.eap import summed
from microtome.circuit.patching.reading import edge_scores
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.model import edits


@METHODS.register("eap-ig", summary="the same with the gradient averaged on the way from the counterfactual")
@dataclass(frozen=True)
class IntegratedEdges(Config):
    """Settings of EAP-IG.

    Attributes:
        steps: points on the way.
        rule: `midpoint`, at (k + 1/2) / steps; or `left`, at k / steps from the counterfactual.
        path: `inputs` or `activations`.
    """

    steps: int = 5
    rule: Literal["midpoint", "left"] = "midpoint"
    path: Literal["inputs", "activations"] = "inputs"

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rule not in ("midpoint", "left") or self.path not in ("inputs", "activations"):
            raise WrongUse(
                "integrate gradients",
                found=f"steps={self.steps}, rule={self.rule!r}, path={self.path!r}",
                do="give 1 step or more, rule 'midpoint' or 'left', path 'inputs' or 'activations'",
            )

    def score(self, case: Case) -> Found:
        """The source's change times the mean gradient on the way, summed over positions and averaged over rows."""
        total = torch.zeros(len(case.components.sources), len(case.components.readers), dtype=torch.float64)
        for bench in case.benches(max(1, case.size // self.steps)):
            clean, other = case.outputs(bench.rows)
            scores = self._by_inputs if self.path == "inputs" else self._by_activations
            total += scores(case, bench, clean - other).double().cpu()
        return summed(case, total / len(case.pairs))

    def _by_inputs(self, case: Case, bench: Bench, change: Float[Tensor, "b s p d"]) -> Float[Tensor, "s r"]:
        return self._along(case, bench, change, "embed")

    def _by_activations(self, case: Case, bench: Bench, change: Float[Tensor, "b s p d"]) -> Float[Tensor, "s r"]:
        found, components = change.new_zeros(change.shape[1], len(case.components.readers)), case.components
        moved = [("embed", slice(0, 1))]
        for i in range(components.n_layers):
            moved.append((f"attn.heads.{i}", components.heads(i)))
            moved.append((f"mlp.out.{i}", slice(components.mlp(i), components.mlp(i) + 1)))
        for site, sources in track(moved, "moving activations"):
            found[sources] = self._along(case, bench, change, site)[sources]
        return found

    def _along(self, case: Case, bench: Bench, change: Float[Tensor, "b s p d"], site: str) -> Float[Tensor, "s r"]:
        """Scores with the gradient averaged while a site goes from the counterfactual's values to the clean ones."""
        here, there = (case.model.run(ids, [site])[site] for ids in (bench.rows.clean, bench.rows.other))
        at = (torch.arange(self.steps) + (0.5 if self.rule == "midpoint" else 0.0)) / self.steps
        way = at.to(here).reshape(-1, *[1] * here.ndim) * (here - there) + there
        moved = edits.set(site, way.flatten(0, 1), may_be_empty=True)
        return edge_scores(case, bench, change, bench.rows.repeated(self.steps), [moved]) / self.steps
