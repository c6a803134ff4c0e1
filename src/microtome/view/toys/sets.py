"""Directions of correlated, independent and anticorrelated pairs, and the cosines of two sets."""

from typing import TYPE_CHECKING

import torch

from microtome.toy.figures.sets import KINDS, Data
from microtome.view.drawing import DRAWINGS, canvas, directions
from microtome.view.palette import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("sets", summary="directions of pairs that come together or never do")
def sets(data: Data) -> "Figure":
    """Two pairs above, three below; the features of a pair have one colour. Right: cosines of two sets of ten."""
    figure, rows = canvas(2, 4, 2.9, 3.1)
    for row, found, what in ((rows[0], data.two, "two"), (rows[1], data.three, "three")):
        for axes, kind in zip(row, KINDS, strict=False):
            directions(axes, found[kind], groups=2)
            pairs = "features" if kind == "independent" else "pairs"
            count = len(found[kind]) if kind == "independent" else what
            axes.set_title(f"{count} {kind} {pairs}", fontsize="medium")
    unit = torch.nn.functional.normalize(data.groups, dim=1)
    image = rows[0][3].imshow((unit @ unit.T).numpy(), cmap=SIGNED, vmin=-1, vmax=1)
    rows[0][3].set(xlabel="feature", ylabel="feature")
    rows[0][3].set_title("two correlated sets of ten", fontsize="medium")
    figure.colorbar(image, ax=rows[0][3], label="cosine", shrink=0.7)
    rows[1][3].set_visible(False)
    return figure
