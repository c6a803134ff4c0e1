"""Vulnerability beside features per dimension."""

from typing import TYPE_CHECKING

from microtome.toy.figures.adversarial import Data
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("adversarial", summary="vulnerability to adversarial inputs and features per dimension, by sparsity")
def adversarial(data: Data) -> "Figure":
    """Both by sparsity, each on an axis of its own."""
    figure, ((left, right),) = canvas(1, 2, 4.2, 3.6)
    inverse = (1 / data.probabilities).numpy()
    left.plot(inverse, data.vulnerability.numpy(), "o-", color=ORANGE)
    left.set(ylabel="vulnerability (densest model: 1)", ylim=(0, None))
    right.plot(inverse, data.features_per_dimension.numpy(), "s-", color=BLUE)
    right.set(ylabel="features per dimension, ‖W‖²/m", ylim=(0, None))
    for axes in (left, right):
        axes.set(xscale="log", xlabel="1 / (1 − S), by sparsity S")
        plain(axes)
    return figure
