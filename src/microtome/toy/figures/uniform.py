"""Many features of equal importance: dimensions per feature, and the few fractions at which dimensionalities stick."""

from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import (
    REPRESENTED,
    SHAPES,
    STICKY,
    Shape,
    dimensionality,
    dimensions_per_feature,
    shapes,
)
from microtome.toy.superposition.learning import ToyConfig, learned

NEAR = 0.015  # of a fraction, for a dimensionality to stick at it
PLATEAU = 0.05  # of one half, for D* to be on the plateau
# The paper finds no line at 1: dense features are told apart from no other directions.
LINES = tuple(one for one in STICKY if one < 1)
ALONE = SHAPES[1, 1]


@dataclass(frozen=True)
class Settings(Config):
    """A model at each of so many sparsities, from dense features to `least_probability`."""

    features: int = 100
    hidden: int = 10
    sparsities: int = 20
    least_probability: float = 0.17
    steps: int = 6_000
    batch: int = 512
    lr: float = 1e-2


@dataclass(frozen=True, eq=False)
class Data:
    """Figures of each model.

    Attributes:
        probabilities: of a feature.
        dimensions_per_feature: D*.
        dimensionality: of each feature, of those that are represented; NaN elsewhere.
        weights: of each model.
        shapes: that its features form.
    """

    probabilities: Float[Tensor, "i"]
    dimensions_per_feature: Float[Tensor, "i"]
    dimensionality: Float[Tensor, "i n"]
    weights: Float[Tensor, "i n m"]
    shapes: tuple[tuple[Shape, ...], ...]


def run(settings: Settings) -> Found:
    """Trains a model at each sparsity."""
    p = settings.least_probability ** torch.linspace(0, 1, settings.sparsities)
    of = features(settings.features, p.tolist())
    config = ToyConfig(
        hidden=settings.hidden, steps=settings.steps, batch=settings.batch, lr=settings.lr, decay="cosine"
    )  # fmt: skip
    weights = learned(of, config).toys.weights
    each = dimensionality(weights).masked_fill(weights.square().sum(2) <= REPRESENTED, torch.nan)
    data = Data(p, dimensions_per_feature(weights), each, weights, tuple(tuple(shapes(one)) for one in weights))
    return Found(data, rows(data))


def rows(data: Data) -> tuple[Row, ...]:
    """The curve and the fractions."""
    star, p = data.dimensions_per_feature, data.probabilities
    half = (star - 0.5).abs() < PLATEAU
    found = data.dimensionality[~data.dimensionality.isnan()]
    fractions = torch.tensor([float(one) for one in LINES])
    near = (found[:, None] - fractions).abs().amin(1) < NEAR
    share, chance = 0.0, 0.0  # a model that has hardly learned represents nothing
    if len(found):
        share, chance = float(near.float().mean()), covered(fractions, float(found.min()), float(found.max()))
    seen = [str(one) for one, close in zip(LINES, ((found[:, None] - fractions).abs() < NEAR).T, strict=True)
            if int(close.sum()) >= 2]  # fmt: skip
    named = Counter(
        one.name for model in data.shapes for one in model if one.name in SHAPES.values() and one.name != ALONE
    )
    return (
        Row("D* of dense features", "about 1: a dimension for each feature that is represented", f"{star[0]:.2f}",
            abs(float(star[0]) - 1) < 0.1),
        Row("D* on the way to sparse ones", "a long plateau at 1/2: antipodal pairs",
            f"within {PLATEAU} of 1/2 at {int(half.sum())} of {len(star)} sparsities"
            + (f", p = {p[half].max():.2f} to {p[half].min():.2f}" if half.any() else ""), int(half.sum()) >= 3),
        Row("D* of the sparsest", "falls on, below 1/2", f"{star[-1]:.2f} at p = {p[-1]:.2f}", float(star[-1]) < 0.45),
        Row("dimensionalities of single features", "stick at a few fractions",
            f"{share:.0%} within {NEAR} of one of {', '.join(map(str, LINES))}, which make up "
            f"{chance:.0%} of the range", share > 2 * chance),
        Row("which fractions", "3/4, 2/3, 1/2, 2/5 and 3/8",
            f"at least two features near each of {', '.join(seen) or '0'}",
            len(seen) == len(LINES)),
        Row("shapes", "pairs, triangles, tetrahedra, pentagons and square antiprisms, in dimensions of their own",
            f"parts of their own: {', '.join(f'{n} × {name}' for name, n in named.most_common()) or '0'}",
            len(named) >= 5),
    )  # fmt: skip


def covered(fractions: Float[Tensor, "f"], low: float, high: float) -> float:
    """Which share of a range lies near a fraction: what would stick there by chance, were all values alike likely."""
    at = torch.linspace(low, high, 10_001)
    return float(((at[:, None] - fractions).abs().amin(1) < NEAR).float().mean())


FIGURES.add(
    "uniform",
    Figure("Many features of equal importance", "Elhage et al. 2022, section 5", run, Settings(),
           Settings(features=400, hidden=30, least_probability=0.05, steps=25_000, batch=1024, lr=1e-3),
           paper=Settings(features=400, hidden=30, least_probability=0.05, steps=50_000, batch=4096, lr=1e-3)),
    summary="dimensions per feature against sparsity, and the fractions at which dimensionalities stick",
    home=__name__,
)  # fmt: skip
