"""Directions of five features at three sparsities."""

from typing import TYPE_CHECKING

from microtome.toy.figures.introduction import Data
from microtome.view.drawing import DRAWINGS, canvas, directions

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("introduction", summary="directions of five features, a panel for each sparsity")
def introduction(data: Data) -> "Figure":
    """Numbers are the features'; 0 is the most important."""
    figure, (row,) = canvas(1, len(data.sparsities), 3.0, 3.2)
    for axes, sparsity, weights in zip(row, data.sparsities, data.weights, strict=True):
        directions(axes, weights, numbered=True)
        axes.set_title(f"sparsity S = {sparsity:g}")
    return figure
