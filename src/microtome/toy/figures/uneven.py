"""One feature sparser than the others: a pentagon is bent, and then gives way to two antipodal pairs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import Features
from microtome.toy.superposition.geometry import Shape, dimensionality, shapes
from microtome.toy.superposition.learning import ToyConfig, learned


@dataclass(frozen=True)
class Settings(Config):
    """Five features in two dimensions; the last one's probability is a multiple of the others'."""

    probability: float = 0.05
    ratios: int = 13
    least: float = 0.2
    most: float = 2.5
    steps: int = 3_000
    copies: int = 8


@dataclass(frozen=True, eq=False)
class Data:
    """The best model at each ratio.

    Attributes:
        ratios: the last feature's probability over the others'.
        losses: expected.
        weights, dimensionality, shapes: of that model.
    """

    ratios: Float[Tensor, "i"]
    losses: Float[Tensor, "i"]
    weights: Float[Tensor, "i n m"]
    dimensionality: Float[Tensor, "i n"]
    shapes: tuple[tuple[Shape, ...], ...]


def run(settings: Settings) -> Found:
    """Trains models at each ratio."""
    ratios = settings.least * (settings.most / settings.least) ** torch.linspace(0, 1, settings.ratios)
    probability = torch.full((settings.ratios, 5), settings.probability)
    probability[:, -1] *= ratios
    of = Features(probability, torch.ones_like(probability)).repeated(settings.copies)
    made = learned(of, ToyConfig(hidden=2, steps=settings.steps, lr=3e-3, decay="cosine")).toys
    losses = made.expected_loss(of, batches=128)
    best = best_of(losses, settings.copies)
    weights = made.weights[best]
    data = Data(ratios, losses[best], weights, dimensionality(weights), tuple(tuple(shapes(one)) for one in weights))
    return Found(data, rows(data))


def rows(data: Data) -> tuple[Row, Row]:
    """Bent while it lasts, then gone at once."""
    five = torch.tensor([[len(one.features) for one in found] == [5] for found in data.shapes])
    pairs = torch.tensor([[one.name for one in found] == ["antipodal pair"] * 2 for found in data.shapes])
    last = data.dimensionality[:, -1]
    bent = last[five]
    spread = (
        f"D of the last feature {bent.min():.2f} to {bent.max():.2f} over {int(five.sum())} ratios"
        if len(bent)
        else "no pentagon at any of 0 ratios"
    )
    where = f"two pairs for ratios up to {data.ratios[pairs].max():.2f}" if pairs.any() else "no two pairs"
    ends = f"pentagons from {data.ratios[five].min():.2f}" if five.any() else "no pentagon"
    jump = float(last.diff().abs().max())
    once = bool(pairs.any() and five.any()) and float(data.ratios[pairs].max()) < float(data.ratios[five].min())
    return (
        Row("a pentagon with one feature sparser or denser", "is bent: the feature's dimensionality changes smoothly",
            spread, bool(five.sum() >= 3) and float(bent.max() - bent.min()) > 0.02),
        Row("a pentagon with one feature much sparser", "breaks into two antipodal pairs, at once",
            f"{where}, {ends}; the largest step of D is {jump:.2f}", once and jump > 0.15),
    )  # fmt: skip


FIGURES.add(
    "uneven",
    Figure("One feature sparser than the others", "Elhage et al. 2022, section 5", run, Settings(),
           Settings(ratios=25, steps=10_000, copies=32)),
    summary="a pentagon is bent by a sparser feature, and then gives way to two antipodal pairs",
    home=__name__,
)  # fmt: skip
