"""Losses by the number of inputs, and what the two dimensions hold with few, some and many of them."""

from typing import TYPE_CHECKING

from microtome.toy.figures.scarce import Data
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("scarce", summary="losses, features and inputs by the number of inputs that a model saw")
def scarce(data: Data) -> "Figure":
    """Losses at the left; then features (lines) and inputs (points), for few, for those that do worst, and for many."""
    figure, (row,) = canvas(1, 4, 3.3, 3.4)
    row[0].plot(data.points, data.testing, "o-", color=ORANGE, label="on other inputs")
    row[0].plot(data.points, data.training, "s-", color=BLUE, label="on the inputs it saw")
    row[0].set(xscale="log", xlabel="inputs", ylabel="loss", ylim=(0, None))
    row[0].legend(frameon=False, fontsize="small", loc="upper left")
    plain(row[0])
    worst = max(range(len(data.points)), key=lambda i: data.testing[i])
    for axes, at in zip(row[1:], (1, worst, len(data.points) - 1), strict=True):
        for x, y in data.features[at].tolist():
            axes.plot([0, x], [0, y], "-", color=GREY, linewidth=0.7)
        axes.plot(*data.hidden[at].T.tolist(), ".", color=BLUE, markersize=4, alpha=0.6)
        axes.plot([], [], "-", color=GREY, label="features")
        axes.plot([], [], ".", color=BLUE, label="inputs")
        axes.set(aspect="equal", xlabel="hidden dimension 1", ylabel="hidden dimension 2")
        axes.set_title(f"{data.points[at]:,} inputs", fontsize="medium")
        plain(axes)
    row[1].legend(frameon=False, fontsize="small")
    return figure
