"""Shapes of features in one, two and three dimensions."""

from typing import TYPE_CHECKING, Any

import torch

from microtome.core.need import need
from microtome.toy.figures.polytopes import NEAR, Data, Made
from microtome.view.drawing import DRAWINGS, directions, plain
from microtome.view.interference import COLOURS
from microtome.view.palette import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EDGE = 1.25  # times the shortest distance between two features: up to it they are joined
VIEW = (18, 35)  # degrees above the floor, and about the upright axis


@DRAWINGS.register("polytopes", summary="a pair, a triangle, a pentagon, a tetrahedron and a square antiprism")
def polytopes(data: Data) -> "Figure":
    """A panel a shape, in its one, two or three dimensions; the last shows each feature's dimensionality."""
    need("mpl_toolkits.mplot3d", extra="figures")  # makes the projection known
    figure = need("matplotlib.figure", extra="figures").Figure(figsize=(9.0, 6.4), layout="constrained")
    for place, one in enumerate(data.shapes, 1):
        m = one.weights.shape[1]
        axes = figure.add_subplot(2, 3, place, projection="3d" if m > 2 else None)
        (_solid if m > 2 else _flat)(axes, one)
        axes.set_title(f"{one.name}, p = {one.probability:g}")
    _dimensionalities(figure.add_subplot(2, 3, len(data.shapes) + 1), data)
    return figure


def _flat(axes: "Axes", one: Made) -> None:
    n, m = one.weights.shape
    weights = one.weights if m > 1 else torch.cat([one.weights, torch.zeros(n, 1)], 1)
    directions(axes, weights, numbered=True)
    for a, b in _edges(one):
        axes.plot(*weights[[a, b]].T.tolist(), "-", color=COLOURS[one.name], linewidth=1, zorder=0)
    if m == 1:
        axes.set(yticks=[], ylabel="one dimension alone")


def _solid(axes: Any, one: Made) -> None:
    """Turned so that the first feature points up: the model does the same however its dimensions are turned."""
    turned, _ = torch.linalg.qr(torch.cat([one.weights[:1], torch.eye(3)[:2]]).T)
    x = one.weights @ turned[:, [1, 2, 0]]
    x = x * x[0, 2].sign()
    for a, b in _edges(one):
        axes.plot(*x[[a, b]].T.tolist(), "-", color=COLOURS[one.name], linewidth=1.8)
    for each in x.tolist():
        axes.plot(*([0, end] for end in each), "-", color=GREY, linewidth=0.9)
    axes.plot(*x.T.tolist(), "o", color=COLOURS[one.name], markersize=6)
    reach = 1.1 * float(x.abs().max())
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach), xticks=(-0.5, 0.5), yticks=(-0.5, 0.5),
             zticks=(-0.5, 0.5), xlabel="hidden 1", ylabel="hidden 2", zlabel="hidden 3")  # fmt: skip
    axes.view_init(*VIEW)
    axes.set_box_aspect((1, 1, 1), zoom=0.9)


def _edges(one: Made) -> list[tuple[int, int]]:
    """Pairs of features that lie nearest to one another; all pairs where there are but two."""
    apart = torch.cdist(one.weights, one.weights).fill_diagonal_(torch.inf)
    near = (apart <= EDGE * apart.min()).triu(1)
    return [(int(a), int(b)) for a, b in near.nonzero()]


def _dimensionalities(axes: "Axes", data: Data) -> None:
    for place, one in enumerate(data.shapes):
        n, m = one.weights.shape
        axes.plot([place - 0.35, place + 0.35], [m / n] * 2, "-", color=GREY, linewidth=6, alpha=0.4)
        across = torch.linspace(-0.25, 0.25, n) + place
        axes.plot(across.tolist(), one.dimensionality.tolist(), "o", color=COLOURS[one.name], markersize=4)
        axes.annotate(f"{m}/{n}", (place, m / n + 3 * NEAR), ha="center")
    axes.plot([], [], "-", color=GREY, linewidth=6, alpha=0.4, label="m / n")
    axes.plot([], [], "o", color=GREY, markersize=4, label="a feature")
    axes.set(ylim=(0, 1), ylabel="dimensionality $D_i$", xlabel="shape")
    axes.set_xticks(range(len(data.shapes)), [one.name.split()[-1] for one in data.shapes], rotation=30)
    axes.legend(frameon=False, ncols=2, loc="lower left")
    plain(axes)
