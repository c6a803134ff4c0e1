"""Losses by the number of inputs, and what the two dimensions hold with few, some and many of them."""

from typing import TYPE_CHECKING

from microtome.core.need import need
from microtome.toy.figures.scarce import Data
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("scarce", summary="losses, features and inputs by the number of inputs that a model saw")
def scarce(data: Data) -> "Figure":
    """Losses first; then features (lines) and inputs (points), for few, for those that do worst, and for many."""
    figure, rows = canvas(2, 2, 4.2, 3.7)
    first, *others = [axes for row in rows for axes in row]
    first.plot(data.points, data.testing, "o-", color=ORANGE, label="on other inputs")
    first.plot(data.points, data.training, "s-", color=BLUE, label="on the inputs it saw")
    first.set(xscale="log", xlabel="inputs that the model saw", ylabel="loss (squared error)")
    first.set_yscale("symlog", linthresh=1, linscale=0.6)
    first.set_ylim(0, 3 * max(data.testing))
    first.set_yticks(ticks := [0, 0.5, *(10**i for i in range(3) if 10**i < 3 * max(data.testing))])
    first.set_yticklabels([f"{one:g}" for one in ticks])
    first.minorticks_off()
    first.legend(frameon=False, loc="upper left")
    plain(first)
    worst = max(range(len(data.points)), key=lambda i: data.testing[i])
    for axes, at in zip(others, (1, worst, len(data.points) - 1), strict=True):
        for x, y in data.features[at].tolist():
            axes.plot([0, x], [0, y], "-", color=GREY, linewidth=0.7)
        axes.plot(*data.hidden[at].T.tolist(), ".", color=BLUE, markersize=5, alpha=0.6)
        axes.set(xlabel="hidden dimension 1", ylabel="hidden dimension 2")
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_title(f"{data.points[at]:,} inputs")
        plain(axes)
    line = need("matplotlib.lines", extra="figures").Line2D
    marks = [line([], [], linestyle="-", color=GREY, label="features"),
             line([], [], linestyle="", marker=".", color=BLUE, label="inputs")]  # fmt: skip
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)
    return figure
