"""Phases of the last feature: trained models beside closed forms."""

from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from microtome.core.need import need
from microtome.toy.figures.phases import REGIONS, Data, Diagram
from microtome.view.drawing import DRAWINGS, canvas
from microtome.view.palette import BLUE, EVEN, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

COLOURS = ("white", BLUE, ORANGE)


@DRAWINGS.register("phases", summary="phases by sparsity and importance, trained and by closed forms")
def phases(data: Data) -> "Figure":
    """A row a diagram: ‖W‖² of the last feature, phases of trained models, phases of the closed forms."""
    figure, rows = canvas(len(data.diagrams), 3, 3.3, 3.3)
    for row, one in zip(rows, data.diagrams, strict=True):
        what = f"{one.n} features in {one.m}"
        image = row[0].pcolormesh(
            one.probabilities.numpy(), one.importances.numpy(), one.squared.numpy(), cmap=EVEN, vmin=0, vmax=1
        )
        row[0].set_title(f"{what}: ‖W‖² of the last")
        figure.colorbar(image, ax=row[0], label="‖W‖²")
        for axes, phase, title in ((row[1], one.trained, "trained"), (row[2], one.analytic, "closed forms")):
            _regions(axes, one, phase)
            axes.set_title(f"{what}: {title}")
        for axes in row:
            axes.set(xscale="log", yscale="log", xlabel="probability 1 − S", ylabel="importance of the last")
            axes.invert_xaxis()
    patch = need("matplotlib.patches", extra="figures").Patch
    marks = [patch(facecolor=colour, edgecolor=GREY, label=name) for colour, name in zip(COLOURS, REGIONS, strict=True)]
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), frameon=False)
    return figure


def _grid(one: Diagram) -> tuple["NDArray[Any]", "NDArray[Any]"]:
    return one.probabilities.numpy(), one.importances.numpy()


def _regions(axes: "Axes", one: Diagram, phase: Int[Tensor, "r c"]) -> None:
    colours = need("matplotlib.colors", extra="figures").ListedColormap(COLOURS)
    axes.pcolormesh(
        one.probabilities.numpy(), one.importances.numpy(), phase.numpy(), cmap=colours, vmin=-0.5, vmax=2.5
    )
