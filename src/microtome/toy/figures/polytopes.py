"""The shapes of few features in few dimensions: pair, triangle, tetrahedron, pentagon and square antiprism.

Each is trained alone, at a sparsity at which it is the best: a triangle and a tetrahedron are so only where features
are dense; where they are sparse, three features in two dimensions become a pair and a dedicated dimension.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import SHAPES, dimensionality, shapes
from microtome.toy.superposition.learning import ToyConfig, learned

NEAR = 0.02  # of m/n: how near the dimensionality of each feature is to it, in a uniform shape
# The probability of a feature at which each is made: (features, dimensions) of a shape.
PROBABILITIES: Mapping[tuple[int, int], float] = {
    (2, 1): 0.3, (3, 2): 0.8, (5, 2): 0.1, (4, 3): 0.8, (8, 3): 0.1,
}  # fmt: skip


@dataclass(frozen=True)
class Settings(Config):
    """Copies of each shape's model differ in their start, and the one with the least loss is shown."""

    steps: int = 1_500
    batch: int = 1024
    copies: int = 16


@dataclass(frozen=True, eq=False)
class Made:
    """The best model for one shape.

    Attributes:
        name: of the shape.
        probability: of a feature.
        weights: directions.
        dimensionality: of each feature.
        whole: whether all features form one part of the graph of interference.
    """

    name: str
    probability: float
    weights: Float[Tensor, "n m"]
    dimensionality: Float[Tensor, "n"]
    whole: bool


@dataclass(frozen=True, eq=False)
class Data:
    """A model for each shape."""

    shapes: tuple[Made, ...]


def run(settings: Settings) -> Found:
    """Trains them."""
    data = Data(tuple(best(settings, n, m, p) for (n, m), p in PROBABILITIES.items()))
    return Found(data, tuple(row(one) for one in data.shapes))


def best(settings: Settings, n: int, m: int, p: float) -> Made:
    """The model with the least loss."""
    of = features(n, p, copies=settings.copies)
    config = ToyConfig(hidden=m, steps=settings.steps, batch=settings.batch, lr=1e-2, decay="cosine")
    made = learned(of, config).toys
    weights = made.weights[best_of(made.expected_loss(of), settings.copies)]
    parts = shapes(weights[0])
    return Made(SHAPES[n, m], p, weights[0], dimensionality(weights)[0], [len(one.features) for one in parts] == [n])


def row(one: Made) -> Row:
    """Whether all features are in one part, and have as much of the dimensions as one another."""
    n, m = one.weights.shape
    low, high = float(one.dimensionality.min()), float(one.dimensionality.max())
    return Row(
        f"{n} features in {m} dimension{'s' if m > 1 else ''}, p = {one.probability:g}",
        f"{one.name}: each feature has {m}/{n} of a dimension",
        f"D from {low:.3f} to {high:.3f}, in {'one part' if one.whole else 'parts'}; {m}/{n} = {m / n:.3f}",
        one.whole and max(high - m / n, m / n - low) < NEAR,
    )  # fmt: skip


FIGURES.add(
    "polytopes",
    Figure("Shapes that features form", "Elhage et al. 2022, section 5", run, Settings(),
           Settings(steps=10_000, batch=4096, copies=64)),
    summary="an antipodal pair, a triangle, a tetrahedron, a pentagon and a square antiprism",
    home=__name__,
)  # fmt: skip
