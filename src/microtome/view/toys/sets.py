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
    """Two pairs above, then three; the features of a pair have one colour. Below: cosines of two sets of ten."""
    figure, rows = canvas(3, 3, 3.1, 3.0)
    for row, found, what in ((rows[0], data.two, "two"), (rows[1], data.three, "three")):
        for axes, kind in zip(row, KINDS, strict=True):
            directions(axes, found[kind], groups=2)
            pairs = "features" if kind == "independent" else "pairs"
            count = len(found[kind]) if kind == "independent" else what
            axes.set_title(f"{count} {kind} {pairs}")
    below = rows[2][1]
    unit = torch.nn.functional.normalize(data.groups, dim=1)
    image = below.imshow((unit @ unit.T).numpy(), cmap=SIGNED, vmin=-1, vmax=1)
    below.set(xlabel="feature", ylabel="feature", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
    below.set_title("two correlated sets of ten")
    figure.colorbar(image, ax=below, label="cosine")
    for axes in (rows[2][0], rows[2][2]):
        axes.set_visible(False)
    return figure
