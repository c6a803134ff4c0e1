"""Drawings: functions from a figure's data to a matplotlib figure, under the figure's name."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from microtome.core.need import need
from microtome.core.registry import Registry
from microtome.view.palette import BLUE, GREY, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT = 0.05  # ‖W‖² under which a feature bears no number: at the origin they would lie on one another

DRAWINGS: Registry[Callable[[Any], Any]] = Registry("drawing", folder="microtome.view.toys")


def canvas(rows: int, columns: int, width: float, height: float) -> tuple["Figure", list[list["Axes"]]]:
    """A figure of so many panels, each so many inches; its axes row by row.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    figure = need("matplotlib.figure", extra="figures").Figure(
        figsize=(columns * width, rows * height), layout="constrained"
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in axes]


def plain(axes: "Axes") -> None:
    """Without the frame's upper and right sides."""
    axes.spines[["top", "right"]].set_visible(False)


def directions(axes: "Axes", weights: Float[Tensor, "n 2"], *, groups: int = 0, numbered: bool = False) -> None:
    """Features' directions as lines from the origin, in one colour or a colour for each group of neighbours.

    Args:
        axes: to draw on.
        weights: the directions.
        groups: neighbours of one colour; 0 for one colour in all.
        numbered: whether features that are kept bear their numbers.
    """
    for i, (x, y) in enumerate(weights.tolist()):
        colour = SERIES[i // groups % len(SERIES)] if groups else BLUE
        axes.plot([0, x], [0, y], "-", color=colour, linewidth=1.5)
        axes.plot(x, y, "o", color=colour, markersize=5)
        if numbered and x * x + y * y > SHORT:
            axes.annotate(str(i), (1.14 * x, 1.14 * y), ha="center", va="center")
    reach = max(1.3, 1.25 * float(weights.abs().max()))
    axes.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="hidden dimension 1",
             ylabel="hidden dimension 2")  # fmt: skip
    plain(axes)
