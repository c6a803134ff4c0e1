"""Attribution patching: every node's effect to first order, from one backward pass.

Nanda 2023, "Attribution patching"; Kramár et al. 2024, arXiv 2403.00745. The gradient is taken at the clean prompt.
It misleads where the network is far from linear between the two prompts: saturated attention above all, which
`atp-star` mends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Case
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.nodes import Place, places, sites_of
from microtome.circuit.patching.rows import Rows
from microtome.core.config import Config
from microtome.model.edits import Edit


@METHODS.register("atp", summary="each node's effect to first order: change times gradient at the clean prompt")
@dataclass(frozen=True)
class AttributionPatching(Config):
    """Settings of attribution patching.

    Attributes:
        kinds: which nodes: `embed`, `head`, `mlp`, `unit`, `q`, `k`, `v`.
    """

    kinds: tuple[str, ...] = ("embed", "head", "mlp", "unit")

    def score(self, case: Case) -> Found:
        """-(n(x') - n(x)) · dM/dn at x, averaged over rows."""
        nodes = places(case.anatomy, self.kinds)
        total = sum(first_order(case, bench.rows, nodes).sum(0) for bench in case.benches())
        assert isinstance(total, Tensor)
        return Found(named(nodes, total / len(case.pairs)))


def first_order(
    case: Case, rows: Rows, nodes: list[Place], edits: Iterable[Edit] = ()
) -> Float[Tensor, "b n"]:  # fmt: skip
    """Clean value minus counterfactual value, times the gradient under edits: each node's in each row."""
    sites = sites_of(nodes)
    clean, other = (case.model.run(ids, sites) for ids in (rows.clean, rows.other))
    run = case.gradients(rows, sites, edits)
    by_site = {site: ((clean[site] - other[site]) * run.grad[site]) for site in sites}
    whole = {site: x.flatten(1).sum(1) for site, x in by_site.items()}
    units = {site: (x if x.ndim == 3 else x.sum(-1)).sum(1) for site, x in by_site.items()}
    return torch.stack([whole[node.site] if node.unit is None else units[node.site][:, node.unit] for node in nodes], 1)


def named(nodes: list[Place], values: Float[Tensor, "n"]) -> dict[str, float]:
    """Scores by the names of the nodes."""
    return dict(zip((node.name for node in nodes), values.tolist(), strict=True))
