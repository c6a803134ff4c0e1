"""Activation patching: each node in turn takes its value of the other prompt, in a pass of its own.

Exact, one pass a node. Noising (run on clean, patch the counterfactual's value in) asks what is necessary, denoising
the opposite; Heimersheim & Nanda 2024, arXiv 2404.15255.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from microtome.circuit.patching.case import Case, candidates
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.nodes import Place, places, sites_of
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.model import edits
from microtome.model.edits import Edit


@METHODS.register("activation", summary="exact effect of each node: one patched pass a node")
@dataclass(frozen=True)
class ActivationPatching(Config):
    """Settings of activation patching.

    Attributes:
        kinds: which nodes: `embed`, `head`, `mlp`, `unit`, `q`, `k`, `v`.
        direction: `noise` patches counterfactual values into clean passes, `denoise` the opposite.
    """

    kinds: tuple[str, ...] = ("embed", "head", "mlp")
    direction: Literal["noise", "denoise"] = "noise"

    def __post_init__(self) -> None:
        if self.direction not in ("noise", "denoise"):
            raise WrongUse("patch activations", found=f"direction={self.direction!r}", do="say 'noise' or 'denoise'")

    def score(self, case: Case) -> Found:
        """M(clean) − M(patched), or with `denoise` M(patched) − M(counterfactual), averaged over rows."""
        nodes = places(case.anatomy, self.kinds)
        total = torch.zeros(len(nodes), dtype=torch.float64)
        for bench in case.benches():
            rows = bench.rows if self.direction == "noise" else bench.rows.turned()
            there = case.model.run(rows.other, sites_of(nodes))
            before = case.measure(rows)
            for some in track(candidates(len(nodes), len(rows), case.size), "patching nodes"):
                many = rows.repeated(len(some))
                changes = patched([nodes[i] for i in some.tolist()], there, len(rows))
                after = case.measure(many, changes).unflatten(0, (len(some), len(rows)))
                total[some] += (before - after).sum(1).double().cpu()
        sign = 1 if self.direction == "noise" else -1
        return Found(dict(zip((node.name for node in nodes), (sign * total / len(case.pairs)).tolist(), strict=True)))


def patched(nodes: list[Place], there: Mapping[str, Tensor], rows: int) -> list[Edit]:
    """Edits of a pass over all rows once a node, in which each node alone takes its value of another run."""
    at: dict[str, list[int]] = defaultdict(list)
    for i, node in enumerate(nodes):
        at[node.site].append(i)
    made = []
    for site, which in at.items():
        value = there[site]
        mask = torch.zeros(len(nodes), rows, *value.shape[1:3], dtype=torch.bool, device=value.device)
        for i in which:
            unit = nodes[i].unit
            mask[i, :, :, slice(None) if unit is None else unit] = True
        whole = value.repeat(len(nodes), *[1] * (value.ndim - 1))
        made.append(edits.set(site, whole, where=mask.flatten(0, 1), may_be_empty=True))
    return made
