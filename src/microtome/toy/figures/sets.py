"""Features that come together, and features that never do: which directions they take beside one another.

The paper shows two anticorrelated pairs. Three are drawn here, and are no claim: in two dimensions the best that was
found leaves one feature nearly out, or, where features are sparser still, is a hexagon with partners side by side.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.config import Config
from microtome.toy.reproduction import FIGURES, Figure, Found, Row
from microtome.toy.superposition.choosing import best_of
from microtome.toy.superposition.features import Together, features
from microtome.toy.superposition.learning import ToyConfig, learned

Pairs = dict[Together, Float[Tensor, "_ 2"]]
KINDS: tuple[Together, ...] = ("correlated", "independent", "anticorrelated")
ORTHOGONAL, ANTIPODAL = 0.1, -0.9


@dataclass(frozen=True)
class Settings(Config):
    """Pairs of features in two dimensions, two pairs and three; and two sets of ten in ten dimensions."""

    probability: float = 0.1
    steps: int = 2_000
    copies: int = 16


@dataclass(frozen=True, eq=False)
class Data:
    """The best model of each kind.

    Attributes:
        two, three: pairs of features, by kind; neighbours are a pair.
        groups: two sets of ten correlated features.
    """

    two: Pairs
    three: Pairs
    groups: Float[Tensor, "20 10"]


def run(settings: Settings) -> Found:
    """Trains all."""
    two: Pairs = {kind: best(settings, kind, 4, 2, 2) for kind in KINDS}
    three: Pairs = {kind: best(settings, kind, 6, 2, 2) for kind in KINDS}
    data = Data(two, three, best(settings, "correlated", 20, 10, 10))
    return Found(data, rows(data))


def best(settings: Settings, kind: Together, n: int, m: int, size: int) -> Float[Tensor, "n m"]:
    """Directions of the model with the least loss."""
    of = features(n, settings.probability, copies=settings.copies)
    if kind != "independent":
        of = replace(of, together=kind, sets=size)
    made = learned(of, ToyConfig(hidden=m, steps=settings.steps, lr=1e-2, decay="cosine")).toys
    return made.weights[best_of(made.expected_loss(of), settings.copies)[0]]


def rows(data: Data) -> tuple[Row, ...]:
    """Cosines inside sets, and across them."""
    inside = {kind: cosines(one, 2)[0] for kind, one in data.two.items()}
    crowded = [float(c.mean()) for c in cosines(data.three["correlated"], 2)]
    within, across = (float(c.abs().mean()) for c in cosines(data.groups, 10))
    told = {kind: " and ".join(f"{c:.2f}" for c in one.tolist()) for kind, one in inside.items()}
    return (
        Row("two correlated pairs in two dimensions", "orthogonal to one another inside a pair",
            f"cosines inside the pairs {told['correlated']}", bool((inside["correlated"].abs() < ORTHOGONAL).all())),
        Row("two anticorrelated pairs in two dimensions", "antipodal inside a pair",
            f"cosines inside the pairs {told['anticorrelated']}", bool((inside["anticorrelated"] < ANTIPODAL).all())),
        Row("three correlated pairs in two dimensions", "side by side: a positive product inside a pair, where there "
            "is no room to be orthogonal", "mean cosine {:.2f} inside pairs, {:.2f} across".format(
                *crowded), crowded[0] > max(0.0, crowded[1])),
        Row("two sets of ten correlated features in ten dimensions", "local almost orthogonal bases",
            f"mean |cosine| {within:.3f} inside sets, {across:.3f} across", within < across / 2),
    )  # fmt: skip


def cosines(weights: Float[Tensor, "n m"], size: int) -> tuple[Float[Tensor, "_"], Float[Tensor, "_"]]:
    """Of features of one set, and of features of two."""
    unit = torch.nn.functional.normalize(weights, dim=1)
    own = torch.arange(len(weights)) // size
    same: Bool[Tensor, "n n"] = own[:, None] == own
    upper = torch.ones_like(same).triu(1)
    gram = unit @ unit.T
    return gram[same & upper], gram[~same & upper]


FIGURES.add(
    "sets",
    Figure("Features that come together or never do", "Elhage et al. 2022, section 7", run, Settings(),
           Settings(steps=10_000, copies=64)),
    summary="correlated features are orthogonal or side by side, anticorrelated ones antipodal",
    home=__name__,
)  # fmt: skip
