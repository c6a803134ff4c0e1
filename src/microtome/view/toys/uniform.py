"""Dimensions per feature against sparsity, and the dimensionality of every feature."""

from typing import TYPE_CHECKING

import numpy as np

from microtome.toy.figures.uniform import Data
from microtome.toy.superposition.geometry import STICKY
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


LOWEST = min(STICKY)  # its label would lie on that of 2/5


@DRAWINGS.register("uniform", summary="D* and the dimensionality of each feature, by sparsity")
def uniform(data: Data) -> "Figure":
    """A line for the model as a whole, a point for each feature that is represented."""
    figure, ((axes,),) = canvas(1, 1, 8.0, 4.6)
    inverse = (1 / data.probabilities).numpy()
    for fraction in STICKY:
        axes.axhline(float(fraction), color=GREY, linewidth=0.6, zorder=0)
        side = "top" if fraction == LOWEST else "bottom"
        place = (1.005, float(fraction))
        axes.annotate(str(fraction), place, xycoords=("axes fraction", "data"), va=side, fontsize="small")
    across = np.broadcast_to(inverse[:, None], data.dimensionality.shape)
    axes.plot(across.flatten(), data.dimensionality.flatten().numpy(), ".", color=BLUE, alpha=0.25, markersize=4,
              label="a feature's dimensionality $D_i$")  # fmt: skip
    axes.plot(inverse, data.dimensions_per_feature.numpy(), "o-", color=ORANGE, label="$D^* = m / ‖W‖²$")
    axes.set(xscale="log", xlabel="1 / (1 − S): inputs for each in which a feature is active",
             ylabel="dimensions per feature", ylim=(0, 1.1))  # fmt: skip
    axes.legend(frameon=False)
    plain(axes)
    return figure
