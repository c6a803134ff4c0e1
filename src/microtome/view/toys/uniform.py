"""Dimensions per feature against sparsity, the dimensionality of every feature, and which features interfere."""

from typing import TYPE_CHECKING

import numpy as np

from microtome.core.need import need
from microtome.toy.figures.uniform import Data
from microtome.toy.superposition.geometry import STICKY
from microtome.view.drawing import DRAWINGS, plain
from microtome.view.interference import COLOURS, OTHERS, interference_graph
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LOWEST = min(STICKY)  # its label would lie on that of 2/5
SHOWN = (0.75, 0.5, 0.44)  # the graphs are of the models whose D* is nearest to these
TICKS = (1, 2, 3, 4, 5, 6, 8, 10, 20, 50, 100)


@DRAWINGS.register("uniform", summary="D* and the dimensionality of each feature by sparsity; graphs of interference")
def uniform(data: Data) -> "Figure":
    """Above, a line for the model as a whole and a point for each feature that is represented; below, three graphs."""
    figure = need("matplotlib.figure", extra="figures").Figure(figsize=(8.0, 8.2), layout="constrained")
    grid = figure.add_gridspec(2, len(SHOWN), height_ratios=(1.45, 1))
    _curve(figure.add_subplot(grid[0, :]), data)
    at = [int((data.dimensions_per_feature - star).abs().argmin()) for star in SHOWN]
    for column, i in enumerate(at):
        axes = figure.add_subplot(grid[1, column])
        interference_graph(axes, data.weights[i], data.shapes[i])
        axes.set(xlabel=f"1 / (1 − S) = {1 / data.probabilities[i]:.1f},  $D^*$ = {data.dimensions_per_feature[i]:.2f}")
        if column:
            axes.set(ylabel="features")
    there = {one.name for i in at for one in data.shapes[i]}
    named = [(name, colour) for name, colour in COLOURS.items() if name in there]
    named += [(OTHERS, GREY)] if there - set(COLOURS) else []
    line = need("matplotlib.lines", extra="figures").Line2D
    marks = [line([], [], marker="o", color=colour, label=name) for name, colour in named]
    figure.legend(handles=marks, loc="outside lower center", ncols=min(len(marks), 4) or 1, frameon=False)
    return figure


def _curve(axes: "Axes", data: Data) -> None:
    inverse = (1 / data.probabilities).numpy()
    for fraction in STICKY:
        axes.axhline(float(fraction), color=GREY, linewidth=0.6, zorder=0)
        side = "top" if fraction == LOWEST else "bottom"
        place = (1.005, float(fraction))
        axes.annotate(str(fraction), place, xycoords=("axes fraction", "data"), va=side)
    across = np.broadcast_to(inverse[:, None], data.dimensionality.shape)
    axes.plot(across.flatten(), data.dimensionality.flatten().numpy(), ".", color=BLUE, alpha=0.25, markersize=7,
              label="a feature's dimensionality $D_i$")  # fmt: skip
    axes.plot(inverse, data.dimensions_per_feature.numpy(), "o-", color=ORANGE, label="$D^* = m / ‖W‖²$")
    axes.set(xscale="log", xlabel="1 / (1 − S): inputs for each in which a feature is active",
             ylabel="dimensions per feature", ylim=(0, 1.1))  # fmt: skip
    shown = [one for one in TICKS if one <= inverse.max()]
    axes.set_xticks(shown, [str(one) for one in shown])
    axes.minorticks_off()
    legend = axes.legend(frameon=False, loc="lower left")
    for handle in legend.get_lines():
        handle.set_alpha(1)
    plain(axes)
