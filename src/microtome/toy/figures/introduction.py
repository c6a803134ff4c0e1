"""Five features in two dimensions: the sparser they are, the more of them are kept."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import features
from microtome.toy.superposition.geometry import Shape, shapes
from microtome.toy.superposition.learning import ToyConfig, learned


@dataclass(frozen=True)
class Settings(Config):
    """Feature i has importance 0.9^i; copies differ in their start, and the best is shown."""

    sparsities: tuple[float, ...] = (0.0, 0.8, 0.9)
    steps: int = 3_000
    copies: int = 16


@dataclass(frozen=True, eq=False)
class Data:
    """The best model at each sparsity, and the shapes that its features form."""

    sparsities: tuple[float, ...]
    weights: Float[Tensor, "i n m"]
    shapes: tuple[tuple[Shape, ...], ...]


def run(settings: Settings) -> Found:
    """Trains them."""
    of = features(5, [1 - s for s in settings.sparsities], 0.9, copies=settings.copies)
    made = learned(of, ToyConfig(hidden=2, steps=settings.steps, lr=3e-3, decay="cosine")).toys
    weights = made.weights[best_of(made.expected_loss(of), settings.copies)]
    data = Data(settings.sparsities, weights, tuple(tuple(shapes(one)) for one in weights))
    return Found(data, tuple(row(*one) for one in zip(settings.sparsities, data.shapes, strict=True)))


PAPER = {
    0.0: ("the two most important, each with a dimension of its own", [(0,), (1,)]),
    0.8: ("the four most important, as two antipodal pairs", None),
    0.9: ("all five, as a pentagon", [(0, 1, 2, 3, 4)]),
}


def row(sparsity: float, found: tuple[Shape, ...]) -> Row:
    """Held against the paper's figure; pairs may be any two of the four."""
    words, expected = PAPER[sparsity]
    kept = sorted(i for one in found for i in one.features)
    if expected is None:
        agrees = kept == [0, 1, 2, 3] and all(one.name == "antipodal pair" for one in found)
    else:
        agrees = sorted(one.features for one in found) == expected
    here = "; ".join(f"{one.name} of {', '.join(str(i) for i in one.features)}" for one in found)
    return Row(f"features kept at sparsity {sparsity:g}", words, here, agrees)


FIGURES.add(
    "introduction",
    Figure("Five features in two dimensions", "Elhage et al. 2022, introduction", run, Settings(),
           Settings(steps=10_000)),
    summary="as features become sparser, two dimensions keep two, four, and then all five of them",
    home=__name__,
)  # fmt: skip
