"""Little data: a model keeps the inputs it saw instead of their features, and is worst between the two."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.features import Points, features
from microtome.toy.superposition.geometry import dimensionality
from microtome.toy.superposition.learning import ToyConfig, learned

FIRST = 8  # directions, of the longest, that a polygon of features would have at most
FEW = 5  # inputs at most, each of which has a direction of its own
LEARNED = 1e-3  # of their squared length, 1: the loss up to which inputs are known by heart


@dataclass(frozen=True)
class Settings(Config):
    """A model of two dimensions for each number of inputs; all are of length 1 and seen at every step."""

    features: int = 300
    probability: float = 0.03
    points: tuple[int, ...] = (3, 5, 8, 20, 50, 100, 200, 500, 2000)
    steps: int = 2_500
    copies: int = 3


@dataclass(frozen=True, eq=False)
class Data:
    """The best model at each number of inputs.

    Attributes:
        points: how many.
        training, testing: losses, on them and on others.
        features: directions of the features.
        hidden: of the inputs.
    """

    points: tuple[int, ...]
    training: tuple[float, ...]
    testing: tuple[float, ...]
    features: tuple[Float[Tensor, "n 2"], ...]
    hidden: tuple[Float[Tensor, "_ 2"], ...]


def run(settings: Settings) -> Found:
    """Trains a model for each number of inputs."""
    made = [best(settings, count) for count in settings.points]
    training, testing, directions, hidden = zip(*made, strict=True)
    data = Data(settings.points, training, testing, directions, hidden)
    return Found(data, rows(data))


def best(settings: Settings, count: int) -> tuple[float, float, Float[Tensor, "n 2"], Float[Tensor, "t 2"]]:
    """Of copies that saw other inputs and had another start, the one with the least loss in training."""
    of = features(settings.features, settings.probability, copies=settings.copies)
    random = torch.Generator().manual_seed(count)
    seen = Points(unit(of.sample(count, random)), of.importance)
    config = ToyConfig(hidden=2, steps=settings.steps, lr=1e-2, decay="cosine", weight_decay=0.01, seed=count)
    toys = learned(seen, config).toys
    losses = toys.loss(seen.x, of.importance)
    which = int(losses.argmin())
    others = toys.loss(unit(of.sample(4096, torch.Generator().manual_seed(0))), of.importance)
    return float(losses[which]), float(others[which]), toys.weights[which], toys.hidden(seen.x)[which]


def unit(x: Float[Tensor, "i t n"]) -> Float[Tensor, "i t n"]:
    """Of length 1, where there is anything at all."""
    return torch.nn.functional.normalize(x, dim=2)


def rows(data: Data) -> tuple[Row, ...]:
    """Points, then features, and the bump between.

    That the polygon of the few is regular is no claim: any three directions at 90° or more lose nothing.
    """
    few = [i for i, count in enumerate(data.points) if count <= FEW]
    gaps = [narrowest(data.hidden[i]) for i in few]
    off = [float((dimensionality(data.hidden[i][None]) - 2 / data.points[i]).abs().max()) for i in few]
    lost = max(data.training[i] for i in few)
    own = all(gap > 0.5 * 360 / data.points[i] for gap, i in zip(gaps, few, strict=True))
    kept = [longest(one) for one in data.features]
    top = max(range(len(data.points)), key=lambda i: data.testing[i])
    return (
        Row("inputs, where there are few", "become the corners of a polygon, and are learned by heart",
            f"{listed([str(data.points[i]) for i in few])} inputs: neighbours at least "
            f"{listed([f'{gap:.0f}°' for gap in gaps])} apart, dimensionalities within "
            f"{listed([f'{one:.3f}' for one in off])} of 2/T, training loss at most {lost:.1e}",
            own and lost < LEARNED),
        Row("features, where there are many inputs", "become the corners of a polygon; the others are left out",
            f"the {FIRST} longest have {kept[-1]:.0%} of ‖W‖² with {data.points[-1]:,} inputs, {kept[0]:.0%} with "
            f"{data.points[0]}", kept[-1] > 0.5 > kept[0]),
        Row("test loss by number of inputs", "rises, and falls again: double descent",
            f"highest with {data.points[top]:,} inputs: {data.testing[top]:.3f}, against {data.testing[0]:.3f} with "
            f"{data.points[0]} and {data.testing[-1]:.3f} with {data.points[-1]:,}", 0 < top < len(data.points) - 1),
    )  # fmt: skip


def listed(words: list[str]) -> str:
    """One after another."""
    return " and ".join(words)


def narrowest(hidden: Float[Tensor, "t 2"]) -> float:
    """The least angle between directions of neighbouring points, in degrees."""
    angles = torch.rad2deg(torch.atan2(hidden[:, 1], hidden[:, 0])).sort().values
    return float(torch.cat([angles.diff(), angles[:1] + 360 - angles[-1:]]).min())


def longest(directions: Float[Tensor, "n 2"]) -> float:
    """The share of ‖W‖² that the longest directions have."""
    squared = directions.square().sum(1)
    return float(squared.topk(min(FIRST, len(squared))).values.sum() / squared.sum())


FIGURES.add(
    "scarce",
    Figure("Little data: inputs are kept instead of features", "Henighan et al. 2023, 'Superposition, Memorization, "
           "and Double Descent'", run, Settings(),
           Settings(features=1000, probability=0.01, steps=5_000,
                    points=(3, 5, 8, 20, 50, 100, 200, 500, 1000, 2000, 10_000)),  # the last ten a feature, as there
           paper=Settings(features=10_000, probability=0.001, steps=50_000,
                          points=(3, 5, 8, 20, 50, 100, 200, 500, 1000, 3000, 10_000, 100_000))),
    summary="with few inputs a model keeps these, with many their features, and between them it is worst",
    home=__name__,
)  # fmt: skip
