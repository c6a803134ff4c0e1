"""Learning: features jump from one dimensionality to another, and the loss falls where they jump."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row, rank_correlation
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import dimensionality
from microtome.toy.superposition.learning import ToyConfig, learned

FEW = 0.1  # of the glances, in which most of the movement happens


@dataclass(frozen=True)
class Settings(Config):
    """One model, looked at `seen` times while it learns."""

    features: int = 25
    hidden: int = 4
    probability: float = 0.05
    steps: int = 6_000
    batch: int = 2048
    seen: int = 200


@dataclass(frozen=True, eq=False)
class Data:
    """What was seen.

    Attributes:
        steps: when.
        losses: expected, there.
        dimensionality: of each feature, there.
    """

    steps: tuple[int, ...]
    losses: Float[Tensor, "s"]
    dimensionality: Float[Tensor, "s n"]


def run(settings: Settings) -> Found:
    """Trains it."""
    of = features(settings.features, settings.probability)
    config = ToyConfig(
        hidden=settings.hidden, steps=settings.steps, batch=settings.batch, lr=1e-3, seen=settings.seen
    )  # fmt: skip
    made = learned(of, config)
    losses = torch.cat([one.expected_loss(of, batches=8) for one in made.path])
    data = Data(made.steps, losses, torch.cat([dimensionality(one.weights) for one in made.path]))
    return Found(data, (jumps(data), falls(data)))


def jumps(data: Data) -> Row:
    """Each feature moves in few of the glances."""
    moved = data.dimensionality.diff(dim=0).abs()
    few = max(1, round(FEW * len(moved)))
    shares = moved.topk(few, dim=0).values.sum(0) / moved.sum(0).clamp_min(1e-12)
    share = float(shares.median())
    return Row(
        "dimensionalities while a model learns", "discrete jumps between energy levels",
        f"a feature makes {share:.0%} of its way (median) in {FEW:.0%} of the time", share > 0.5,
    )  # fmt: skip


def falls(data: Data) -> Row:
    """The loss falls most where features move most, after the first tenth in which everything does."""
    start = len(data.steps) // 10
    moved = data.dimensionality.diff(dim=0).abs().sum(1)[start:]
    fallen = -data.losses.diff()[start:]
    rank, p = rank_correlation(moved, fallen)
    return Row(
        "loss and jumps", "sudden drops of the loss are jumps of features",
        f"rank correlation of the loss's fall with the features' movement {rank:.2f} "
        f"(p = {p:.1g}, n = {len(moved)})", rank > 0.3 and p < 0.01,
    )  # fmt: skip


FIGURES.add(
    "dynamics",
    Figure("Learning in jumps", "Elhage et al. 2022, section 6", run, Settings(), Settings(steps=20_000, batch=8192)),
    summary="features jump between dimensionalities while a model learns, and the loss falls with them",
    home=__name__,
)  # fmt: skip
