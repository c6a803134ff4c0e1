"""Dimensionalities and the loss while a model learns."""

from typing import TYPE_CHECKING

from microtome.toy.figures.dynamics import Data
from microtome.toy.superposition.geometry import STICKY
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("dynamics", summary="dimensionalities of features, and the loss, step by step")
def dynamics(data: Data) -> "Figure":
    """A line a feature above; the loss below, on the same steps."""
    figure, ((top,), (below,)) = canvas(2, 1, 8.0, 2.9)
    for fraction in STICKY[1:]:
        top.axhline(float(fraction), color=GREY, linewidth=0.5, zorder=0)
        side = "top" if fraction == min(STICKY) else "bottom"
        top.annotate(str(fraction), (1.005, float(fraction)), xycoords=("axes fraction", "data"), va=side)
    for kept, colour, name in ((False, GREY, "left out in the end"), (True, BLUE, "kept")):
        lines = data.dimensionality[:, data.kept == kept].numpy()
        top.plot(data.steps, lines, color=colour, linewidth=0.8, alpha=0.7)
        top.plot([], [], color=colour, label=f"features {name}: {lines.shape[1]}")
    top.set(ylabel="dimensionality $D_i$", ylim=(0, 0.8))
    top.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    below.plot(data.steps, data.losses.numpy(), color=ORANGE)
    below.set(xlabel="step of Adam", ylabel="loss (squared error)")
    for axes in (top, below):
        plain(axes)
    return figure
