"""Phases: whether the last feature is left out, in superposition, or has a dimension, by sparsity and importance.

Regions of trained models beside those of the closed forms in `superposition.analytic`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.analytic import THREE_IN_TWO, TWO_IN_ONE, Loss, least
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import Features
from microtome.toy.superposition.geometry import REPRESENTED
from microtome.toy.superposition.learning import ToyConfig, learned

REGIONS = tuple(TWO_IN_ONE)
SHARP = (0.25, 0.75)  # ‖W‖² of the last feature between these belongs to no phase


@dataclass(frozen=True)
class Settings(Config):
    """The first features have importance 1; the last one's goes from a tenth to ten times, on a logarithmic axis."""

    side: int = 12
    least_probability: float = 0.01
    steps: int = 1_500
    batch: int = 512
    copies: int = 5


@dataclass(frozen=True, eq=False)
class Diagram:
    """One diagram: rows are importances, columns are probabilities.

    Attributes:
        n, m: features and dimensions.
        probabilities, importances: of the columns, and of the last feature in the rows.
        squared: ‖W‖² of the last feature, of the best model.
        trained, analytic: numbers of `REGIONS`.
    """

    n: int
    m: int
    probabilities: Float[Tensor, "c"]
    importances: Float[Tensor, "r"]
    squared: Float[Tensor, "r c"]
    trained: Int[Tensor, "r c"]
    analytic: Int[Tensor, "r c"]


@dataclass(frozen=True, eq=False)
class Data:
    """Both diagrams."""

    diagrams: tuple[Diagram, Diagram]


def run(settings: Settings) -> Found:
    """Trains both grids."""
    two, three = diagram(settings, 2, 1, TWO_IN_ONE), diagram(settings, 3, 2, THREE_IN_TWO)
    return Found(Data((two, three)), tuple(row for one in (two, three) for row in rows(one)))


def diagram(settings: Settings, n: int, m: int, solutions: Mapping[str, Loss]) -> Diagram:
    """Models at each point of the grid; the best of the copies stands for it."""
    probabilities = settings.least_probability ** torch.linspace(0, 1, settings.side)
    importances = 10 ** torch.linspace(-1, 1, settings.side)
    importance = torch.ones(settings.side**2, n)
    importance[:, -1] = importances.repeat_interleave(settings.side)
    of = Features(probabilities.repeat(settings.side)[:, None].expand(-1, n), importance).repeated(settings.copies)
    made = learned(of, ToyConfig(hidden=m, steps=settings.steps, batch=settings.batch, lr=1e-2, decay="cosine")).toys
    best = best_of(made.expected_loss(of, batches=16), settings.copies)
    squared = made.weights[best].square().sum(2)
    analytic = [REGIONS.index(least(solutions, p, r)) for r in importances.tolist() for p in probabilities.tolist()]
    grid = (settings.side, settings.side)
    return Diagram(n, m, probabilities, importances, squared[:, -1].view(grid), region(squared, m).view(grid),
                   torch.tensor(analytic).view(grid))  # fmt: skip


def region(squared: Float[Tensor, "i n"], m: int) -> Int[Tensor, "i"]:
    """Which phase a model is in, by the squared norms of its features."""
    kept = squared > REPRESENTED
    return torch.where(kept.sum(1) > m, 1, torch.where(kept[:, -1], 2, 0))


def rows(one: Diagram) -> tuple[Row, Row, Row]:
    """What the paper's figure shows of it."""
    what = f"{one.n} features in {one.m} dimension{'s' * (one.m > 1)}"
    share = [float((one.trained == i).float().mean()) for i in range(3)]
    sparse, dense = (one.trained[:, at] == 1 for at in (-1, 0))
    same = float((one.trained == one.analytic).float().mean())
    between = float(((one.squared > SHARP[0]) & (one.squared < SHARP[1])).float().mean())
    return (
        Row(f"{what}: phases", "three regions; superposition where features are sparse",
            f"left out {share[0]:.0%}, superposition {share[1]:.0%}, a dimension {share[2]:.0%} of the grid; "
            f"superposition in {sparse.float().mean():.0%} of the sparsest column, {dense.float().mean():.0%} of the "
            "densest",
            min(share) > 0.05 and bool(sparse.float().mean() > 0.5) and not bool(dense.any())),
        Row(f"{what}: theory", "the regions of trained models are about those of the theory",
            f"the same phase at {same:.0%} of the grid", same > 0.8),
        Row(f"{what}: changes", "a sharp change from one phase to another",
            f"‖W‖² of the last feature between {SHARP[0]} and {SHARP[1]} at {between:.0%} of the grid", between < 0.1),
    )  # fmt: skip


FIGURES.add(
    "phases",
    Figure("Phases by sparsity and importance", "Elhage et al. 2022, section 4", run, Settings(),
           Settings(side=30, steps=5_000, batch=1024, copies=8)),
    summary="left out, in superposition, or with a dimension of its own: trained models beside closed forms",
    home=__name__,
)  # fmt: skip
