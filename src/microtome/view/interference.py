"""The graph of interference: features as points, joined where they are not orthogonal, in the colour of their shape."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.toy.superposition.geometry import LINKED, SHAPES, Shape
from microtome.view.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = dict(zip(SHAPES.values(), (SKY, BLUE, ORANGE, PURPLE, GREEN, RED), strict=True))
OTHERS = "another shape"
GAP = 1.0  # between parts, where neighbours in a ring are 1 apart

Place = tuple[float, float]


def colour(shape: Shape) -> str:
    """Of a shape that has a name; grey for the others."""
    return COLOURS.get(shape.name, GREY)


def places(shapes: Sequence[Shape]) -> dict[int, Place]:
    """Where features lie: the parts as rings, in rows from the top, so that the whole is about as wide as high."""
    radii = [0.0 if len(one.features) == 1 else 0.5 / math.sin(math.pi / len(one.features)) for one in shapes]
    sides = [2 * radius + GAP for radius in radii]
    width = max([math.sqrt(sum(side * side for side in sides)), *sides], default=0.0)
    found: dict[int, Place] = {}
    left, top, high = 0.0, 0.0, 0.0
    for one, radius, side in zip(shapes, radii, sides, strict=True):
        if left and left + side > width * 1.05:
            left, top, high = 0.0, top - high, 0.0
        for turn, feature in enumerate(one.features):
            angle = math.pi / 2 + 2 * math.pi * turn / len(one.features)
            found[feature] = (left + side / 2 + radius * math.cos(angle), top - side / 2 + radius * math.sin(angle))
        left, high = left + side, max(high, side)
    return found


def interference_graph(axes: "Axes", weights: Float[Tensor, "n m"], shapes: Sequence[Shape]) -> None:
    """Draws it: a line is the darker the larger the cosine. Where a part lies means nothing."""
    unit = torch.nn.functional.normalize(weights, dim=1)
    cosines = (unit @ unit.T).abs()
    at = places(shapes)
    for one in shapes:
        for i, a in enumerate(one.features):
            for b in one.features[i + 1 :]:
                if (cosine := float(cosines[a, b])) > LINKED:
                    (x, y), (u, v) = at[a], at[b]
                    axes.plot([x, u], [y, v], "-", color=colour(one), linewidth=1.2, alpha=min(1.0, cosine), zorder=1)
        where = [at[feature] for feature in one.features]
        axes.plot(*zip(*where, strict=True), "o", color=colour(one), markersize=3.5, zorder=2)
    axes.set(xticks=[], yticks=[], ylabel=f"features, joined where |cosine| > {LINKED:g}")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.06)
