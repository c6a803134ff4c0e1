"""ACDC: edges are left out one by one, from the output back, and stay out where that costs less than a threshold.

Conmy et al. 2023, arXiv 2304.14997. A score is what leaving the edge out cost when its turn came, given what had
gone before: exactly the threshold above which it would have left then. So it depends on the order.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.circuit.patching.case import Bench, Case
from microtome.circuit.patching.components import Components, Edge
from microtome.circuit.patching.method import METHODS, Found
from microtome.circuit.patching.methods.path import strongest
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import track

_ABLATIONS = ("resample", "zero")


@METHODS.register("acdc", summary="edges leave one by one, from the output back, where that costs little")
@dataclass(frozen=True)
class Acdc(Config):
    """Settings of ACDC. The paper's metric is `metric="kl"`.

    Attributes:
        tau: edges whose absence costs less leave.
        order: of a reader's sources: `reverse` takes the latest first, `forward` the earliest.
        absolute: an edge stays also where its absence helps by tau or more; else what helps always leaves.
        ablation: an absent edge brings the source's output on the counterfactual (`resample`) or nothing (`zero`).
    """

    tau: float = 0.01
    order: Literal["reverse", "forward"] = "reverse"
    absolute: bool = False
    ablation: Literal["resample", "zero"] = "resample"

    def __post_init__(self) -> None:
        if math.isnan(self.tau) or self.order not in ("reverse", "forward") or self.ablation not in _ABLATIONS:
            raise WrongUse(
                "run ACDC",
                found=f"tau={self.tau}, order={self.order!r}, ablation={self.ablation!r}",
                do="give a number as tau, order 'reverse' or 'forward', ablation 'resample' or 'zero'",
            )

    def score(self, case: Case) -> Found:
        """What each edge's absence cost when its turn came, M(before) − M(after), averaged over rows."""
        components, trial = case.components, _Trial(case, zero=self.ablation == "zero")
        scores: dict[Edge, float] = {}
        left: list[Edge] = []
        for reader in track(components.readers[::-1], "leaving edges out"):
            names = components.sources[: components.before(reader)]
            for source in names[::-1] if self.order == "reverse" else names:
                edge = source, reader
                cost = trial.cost(edge) if _is_heard(components, trial.absent, reader) else 0.0
                scores[edge] = cost
                if (abs(cost) if self.absolute else cost) < self.tau:
                    trial.leave(edge, cost)
                    left.append(edge)
        table = torch.full(components.exists.shape, torch.nan, dtype=torch.float64)
        for edge, cost in scores.items():
            table[components.place(edge)] = cost
        return Found(strongest(scores), table, tuple(scores), frozenset(scores) - frozenset(left), tuple(left))


class _Trial:
    """The circuit as it stands, and what it would cost to leave out one edge more."""

    def __init__(self, case: Case, *, zero: bool):
        self.case = case
        self.absent = torch.zeros_like(case.components.exists)
        self._benches: list[tuple[Bench, Float[Tensor, "b s p d"]]] = [
            (bench, case.absent(bench.rows, zero=zero)) for bench in case.benches()
        ]
        self._now = self._value(self.absent)

    def cost(self, edge: Edge) -> float:
        """How much the metric falls without it."""
        without = self.absent.clone()
        without[self.case.components.place(edge)] = True
        return self._now - self._value(without)

    def leave(self, edge: Edge, cost: float) -> None:
        """Leaves it out for good."""
        self.absent[self.case.components.place(edge)] = True
        self._now -= cost

    def _value(self, absent: Bool[Tensor, "s r"]) -> float:
        total = sum(float(self.case.rewired(bench, other, absent[None]).sum()) for bench, other in self._benches)
        return total / len(self.case.pairs)


def _is_heard(components: Components, absent: Bool[Tensor, "s r"], reader: str) -> bool:
    """Whether any node that the reader feeds still has an edge: if not, nothing that it reads matters."""
    if reader == "logits":
        return True
    stays = components.exists & ~absent
    return any(bool(stays[components.source_index[node]].any()) for node in components.owners(reader))
