"""Learning: features jump from one dimensionality to another, and the loss falls where they jump.

The setting is that of the paper's figure: many features of equal importance, as in `uniform`, at a sparsity at which
all that are kept end as antipodal pairs.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row, rank_correlation
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import REPRESENTED, dimensionality
from microtome.toy.superposition.learning import ToyConfig, learned

FEW = 0.1  # of the time until all have settled, in which most of the way is made
LEVEL, NEAR = 0.5, 0.03  # where features that are kept end, and how near


@dataclass(frozen=True)
class Settings(Config):
    """One model, looked at `seen` times while it learns."""

    features: int = 200
    hidden: int = 20
    probability: float = 0.33
    steps: int = 6_000
    batch: int = 512
    seen: int = 200


@dataclass(frozen=True, eq=False)
class Data:
    """What was seen.

    Attributes:
        steps: when.
        losses: expected, there.
        dimensionality: of each feature, there.
        kept: whether a feature is represented at the end.
    """

    steps: tuple[int, ...]
    losses: Float[Tensor, "s"]
    dimensionality: Float[Tensor, "s n"]
    kept: Bool[Tensor, "n"]


def run(settings: Settings) -> Found:
    """Trains it."""
    of = features(settings.features, settings.probability)
    config = ToyConfig(
        hidden=settings.hidden, steps=settings.steps, batch=settings.batch, lr=1e-3, seen=settings.seen
    )  # fmt: skip
    made = learned(of, config)
    losses = torch.cat([one.expected_loss(of, batches=2) for one in made.path])
    kept = made.toys.weights[0].square().sum(1) > REPRESENTED
    data = Data(made.steps, losses, torch.cat([dimensionality(one.weights) for one in made.path]), kept)
    return Found(data, (levels(data), jumps(data), falls(data)))


def levels(data: Data) -> Row:
    """Where features are at the end."""
    last = data.dimensionality[-1]
    at = torch.where(data.kept, LEVEL, 0.0)
    there = int(((last - at).abs() < NEAR).sum())
    return Row(
        "dimensionalities at the end", "all that are kept are in antipodal pairs, at 1/2; the others at 0",
        f"{int(data.kept.sum())} of {len(last)} features are kept; {there} are within {NEAR} of their level",
        bool(data.kept.any()) and there == len(last),
    )  # fmt: skip


def settled(data: Data) -> int:
    """After how many glances every feature that is kept stays near where it ends; all, where none moves."""
    path = data.dimensionality[:, data.kept]
    away = ((path - path[-1:]).abs() > NEAR).any(1).nonzero().flatten().tolist()
    return away[-1] + 1 if away else len(path) - 1


def jumps(data: Data) -> Row:
    """Each feature that is kept makes most of its way, from where it began to where it ends, in a little of the time.

    The way is that from the start to the end and not the length of the path, most of which is the jitter of Adam. The
    time is that until the last of them is near its end: a longer run makes no jumps.
    """
    path = data.dimensionality[:, data.kept]
    few = max(1, round(FEW * settled(data)))
    way = (path[-1] - path[0]).abs().clamp_min(1e-12)
    shares = (path[few:] - path[:-few]).abs().amax(0) / way
    share = float(shares.median()) if len(shares) else 0.0
    return Row(
        "dimensionalities while a model learns", "jump from one level to another",
        f"a feature that is kept makes {share:.0%} of its way (median) in {FEW:.0%} of the time until all "
        f"have settled; by steady steps it would make {FEW:.0%}", share > 0.5,
    )  # fmt: skip


def falls(data: Data) -> Row:
    """The loss falls most where features move most, until all have settled and after the first tenth of that time.

    In that tenth everything moves, and later nothing does.
    """
    end = max(settled(data), 2)
    moved = data.dimensionality.diff(dim=0).abs().sum(1)[end // 10 : end]
    fallen = -data.losses.diff()[end // 10 : end]
    rank, p = rank_correlation(moved, fallen)
    return Row(
        "loss and jumps", "sudden drops of the loss are jumps of features",
        f"rank correlation of the loss's fall with the features' movement {rank:.2f} "
        f"(p = {p:.1g}, n = {len(moved)})", rank > 0.3 and p < 0.01,
    )  # fmt: skip


FIGURES.add(
    "dynamics",
    Figure("Learning in jumps", "Elhage et al. 2022, section 6", run, Settings(),
           Settings(features=400, hidden=30, steps=20_000, batch=4096, seen=1_000)),
    summary="features jump between dimensionalities while a model learns, and the loss falls with them",
    home=__name__,
)  # fmt: skip
