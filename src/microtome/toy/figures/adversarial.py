"""Adversarial inputs: the more features share dimensions, the more a small change of the input does."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row, rank_correlation
from microtome.toy.superposition.features import Features, features
from microtome.toy.superposition.geometry import dimensions_per_feature
from microtome.toy.superposition.learning import ToyConfig, learned
from microtome.toy.superposition.toys import Toys, weighted


@dataclass(frozen=True)
class Settings(Config):
    """A model at each of so many sparsities; attacks are of length `length` × the mean ‖x‖, in `turns` steps."""

    features: int = 100
    hidden: int = 20
    sparsities: int = 12
    least_probability: float = 0.01
    steps: int = 4_000
    batch: int = 512
    length: float = 0.1
    turns: int = 10


@dataclass(frozen=True, eq=False)
class Data:
    """Each model.

    Attributes:
        probabilities: of a feature.
        features_per_dimension: ‖W‖² / m.
        vulnerability: loss under attack over the loss without, less one; relative to the densest model's.
    """

    probabilities: Float[Tensor, "i"]
    features_per_dimension: Float[Tensor, "i"]
    vulnerability: Float[Tensor, "i"]


def run(settings: Settings) -> Found:
    """Trains and attacks them."""
    p = settings.least_probability ** torch.linspace(0, 1, settings.sparsities)
    of = features(settings.features, p.tolist())
    config = ToyConfig(hidden=settings.hidden, steps=settings.steps, batch=settings.batch, lr=3e-3, decay="cosine")
    made = learned(of, config).toys
    harm = harmed(made, of, settings)
    data = Data(p, 1 / dimensions_per_feature(made.weights), harm / harm[0])
    rank, chance = rank_correlation(data.features_per_dimension, data.vulnerability)
    most = float(data.vulnerability.max())
    return Found(data, (
        Row("vulnerability where features share dimensions", "over three times that of a model without superposition",
            f"up to {most:.1f} times", most > 3),
        Row("vulnerability and features per dimension", "go together",
            f"rank correlation {rank:.2f} (p = {chance:.1g}, n = {len(p)})",
            rank > 0.8 and chance < 0.01),
    ))  # fmt: skip


def harmed(toys: Toys, of: Features, settings: Settings) -> Float[Tensor, "i"]:
    """What the loss grows by, over what it was: the worst change of a given length, by projected gradient ascent.

    The change is to what is read; what should be reconstructed stays. It begins along the gradient at a random point.
    """
    random = torch.Generator().manual_seed(1)
    x = of.sample(2048, random)
    length = settings.length * torch.linalg.vector_norm(x, dim=2).mean(1)[:, None, None]
    change = torch.randn(x.shape, generator=random)
    for _ in range(settings.turns):
        change = length * torch.nn.functional.normalize(change, dim=2)
        change.requires_grad_(True)
        worse = weighted(toys(x + change), x, of.importance).sum()
        (gradient,) = torch.autograd.grad(worse, change)
        change = torch.nn.functional.normalize(gradient, dim=2) * length + change.detach()
    change = length * torch.nn.functional.normalize(change, dim=2)
    attacked, clean = (weighted(toys(inputs), x, of.importance) for inputs in (x + change, x))
    return (attacked / clean - 1).detach()


FIGURES.add(
    "adversarial",
    Figure("Superposition and adversarial inputs", "Elhage et al. 2022, section 8", run, Settings(),
           Settings(sparsities=24, steps=10_000, batch=1024)),
    summary="a model that keeps features in superposition is more easily led astray",
    home=__name__,
)  # fmt: skip
