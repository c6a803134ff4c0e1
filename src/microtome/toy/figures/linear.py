"""Twenty features in five dimensions: a linear model keeps the five most important, a ReLU lets sparse ones share."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import REPRESENTED
from microtome.toy.superposition.learning import ToyConfig, learned
from microtome.toy.superposition.toys import Toys


@dataclass(frozen=True)
class Settings(Config):
    """Feature i has importance 0.7^i."""

    probabilities: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
    features: int = 20
    hidden: int = 5
    steps: int = 4_000
    copies: int = 4


@dataclass(frozen=True, eq=False)
class Data:
    """The best models.

    Attributes:
        probabilities: of a feature.
        linear: the best linear model, at the first probability and the last.
        relu: the best ReLU model at each.
        kept: features that each copy of the ReLU model keeps, at each: copies differ in their start alone.
    """

    probabilities: tuple[float, ...]
    linear: Toys
    relu: Toys
    kept: tuple[tuple[int, ...], ...]


def run(settings: Settings) -> Found:
    """Trains both kinds."""
    ends = (settings.probabilities[0], settings.probabilities[-1])
    linear, _ = _best(settings, ends, relu=False)
    relu, every = _best(settings, settings.probabilities, relu=True)
    size = settings.copies
    copies = tuple(tuple(every[i : i + size]) for i in range(0, len(every), size))
    data = Data(settings.probabilities, linear, relu, copies)
    first = [_first(one, settings.hidden) for one in data.linear.weights]
    dense, kept = _first(data.relu.weights[0], settings.hidden), _kept(data.relu.weights)
    fall, spread = falls(kept), max(max(one) - min(one) for one in copies)
    counts = ", ".join(f"{n} at {p:g}" for n, p in zip(kept, data.probabilities, strict=True))
    return Found(data, (
        Row(
            "a linear model, dense or sparse features", "the m most important features, orthogonal, as PCA would",
            f"share of ‖W‖² in the {settings.hidden} most important: {first[0]:.3f} dense, {first[1]:.3f} sparse",
            min(first) > 0.98,
        ),
        Row(
            "a ReLU model, dense features", "the same as the linear model",
            f"share of ‖W‖² in the {settings.hidden} most important: {dense:.3f}", dense > 0.9,
        ),
        Row(
            "a ReLU model, sparser features", "more features than dimensions, and more the sparser they are",
            f"features kept by probability: {counts}; the largest fall is {fall}, where copies with another start "
            f"differ by up to {spread}", kept[-1] > settings.hidden and fall <= spread < kept[-1] - kept[0],
        ),
    ))  # fmt: skip


def _best(settings: Settings, probabilities: tuple[float, ...], *, relu: bool) -> tuple[Toys, list[int]]:
    """The best copy at each probability, and how many features every copy keeps."""
    of = features(settings.features, list(probabilities), 0.7, copies=settings.copies)
    config = ToyConfig(hidden=settings.hidden, relu=relu, steps=settings.steps, lr=3e-3, decay="cosine")
    made = learned(of, config).toys
    return made[best_of(made.expected_loss(of), settings.copies).tolist()], _kept(made.weights)


def falls(kept: list[int]) -> int:
    """By how much a count is below an earlier one, at most."""
    return max(max(kept[: i + 1]) - one for i, one in enumerate(kept))


def _first(weights: Float[Tensor, "n m"], count: int) -> float:
    """The share of the squared norm that the first features have."""
    squared = weights.square().sum(1)
    return float(squared[:count].sum() / squared.sum())


def _kept(weights: Float[Tensor, "i n m"]) -> list[int]:
    return torch.count_nonzero(weights.square().sum(2) > REPRESENTED, 1).tolist()


FIGURES.add(
    "linear",
    Figure("Twenty features in five dimensions, without and with a ReLU", "Elhage et al. 2022, section 2", run,
           Settings(), Settings(steps=10_000)),
    summary="a linear model keeps the most important features alone; behind a ReLU sparse ones share dimensions",
    home=__name__,
)  # fmt: skip
