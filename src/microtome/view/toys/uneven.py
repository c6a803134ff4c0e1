"""Dimensionalities and losses while one feature grows sparser."""

from typing import TYPE_CHECKING

from microtome.toy.figures.uneven import Data
from microtome.view.drawing import DRAWINGS, canvas, directions, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


TICKS = (0.2, 0.5, 1, 2)


@DRAWINGS.register("uneven", summary="a pentagon is bent by a sparser feature, and gives way to two pairs")
def uneven(data: Data) -> "Figure":
    """First, dimensionalities by ratio; then, directions where the feature is sparsest, as the others, and densest."""
    figure, rows = canvas(2, 2, 4.2, 3.7)
    row = [axes for half in rows for axes in half]
    ratios = data.ratios.numpy()
    row[0].plot(ratios, data.dimensionality[:, :-1].numpy(), ".-", color=GREY, linewidth=0.6)
    row[0].plot([], [], ".-", color=GREY, label="the others")
    row[0].plot(ratios, data.dimensionality[:, -1].numpy(), "o-", color=ORANGE, label="the one that varies")
    row[0].axhline(0.4, color=BLUE, linewidth=0.6, linestyle="--", label="2/5: a regular pentagon")
    row[0].set(xscale="log", xlabel="its probability over the others'", ylabel="dimensionality", ylim=(0, 0.8))
    row[0].set_xticks(TICKS, [f"{one:g}" for one in TICKS])
    row[0].minorticks_off()
    row[0].legend(frameon=False)
    plain(row[0])
    for axes, at in zip(row[1:], (0, int((data.ratios - 1).abs().argmin()), -1), strict=True):
        directions(axes, data.weights[at], numbered=True)
        axes.set_title(f"feature 4 at {data.ratios[at]:.2f} × the others")
    return figure
