"""Computation in superposition: one hidden layer that learns the absolute value of its inputs.

    h = ReLU(W₁ x)        y = ReLU(W₂ h + b)        target |x|

Two hidden units a feature do it exactly, |x| = ReLU(x) + ReLU(−x). With fewer, sparse features share units, which is
not storage alone: the units compute on what they share. Elhage et al. 2022, section 9.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.toy.superposition.features import Features
from microtome.toy.superposition.learning import Parameters, ToyConfig, descended
from microtome.toy.superposition.toys import weighted


@dataclass(frozen=True, eq=False)
class Absolutes:
    """Networks with one hidden layer.

    Attributes:
        first: W₁, transposed: what each hidden unit reads of each feature.
        second: W₂, transposed: what each hidden unit writes to each feature.
        bias: b.
    """

    first: Float[Tensor, "i n u"]
    second: Float[Tensor, "i u n"]
    bias: Float[Tensor, "i n"]

    def __call__(self, x: Float[Tensor, "i t n"]) -> Float[Tensor, "i t n"]:
        """What should be |x|."""
        return ((x @ self.first).relu() @ self.second + self.bias[:, None]).relu()

    def loss(self, x: Float[Tensor, "i t n"], importance: Float[Tensor, "i n"]) -> Float[Tensor, "i"]:
        """Of each network, on these inputs."""
        return weighted(self(x), x.abs(), importance)

    @property
    def through(self) -> Float[Tensor, "i u n"]:
        """|read × written| of each feature by each hidden unit: how much the unit does for it."""
        return (self.first.mT * self.second).abs()

    @property
    def features_per_unit(self) -> Float[Tensor, "i u"]:
        """(Σ a)² / Σ a² over what a unit does for its features: 1 where it serves one, 2 where two alike."""
        through = self.through
        tiny = torch.finfo(through.dtype).tiny
        return through.sum(2).square() / through.square().sum(2).clamp_min(tiny)


def absolutes(of: Features, config: ToyConfig) -> Absolutes:
    """Trains a network with `config.hidden` hidden units for each set of features, which are of both signs."""
    random = torch.Generator().manual_seed(config.seed)
    models, n = of.importance.shape
    scale = (2 / (n + config.hidden)) ** 0.5
    parameters = {
        "first": torch.randn(models, n, config.hidden, generator=random) * scale,
        "second": torch.randn(models, config.hidden, n, generator=random) * scale,
        "bias": torch.zeros(models, n),
    }

    def losses(part: Parameters, models: slice) -> Float[Tensor, "i"]:
        some = of[models]
        return Absolutes(**part).loss(some.sample(config.batch, random), some.importance)

    descended(parameters, losses, config)
    return Absolutes(**{name: one.detach() for name, one in parameters.items()})
