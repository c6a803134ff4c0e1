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
    figure, ((top,), (below,)) = canvas(2, 1, 8.0, 2.7)
    for fraction in STICKY[1:]:
        top.axhline(float(fraction), color=GREY, linewidth=0.5, zorder=0)
    top.plot(data.steps, data.dimensionality.numpy(), color=BLUE, linewidth=0.8, alpha=0.7)
    top.set(ylabel="dimensionality of each feature", ylim=(0, 1))
    below.plot(data.steps, data.losses.numpy(), color=ORANGE)
    below.set(xlabel="step", ylabel="loss", yscale="log")
    for axes in (top, below):
        plain(axes)
    return figure
