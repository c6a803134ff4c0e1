"""What hidden units read and write, feature by feature."""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from microtome.core.need import need
from microtome.toy.figures.absolute import Data
from microtome.view.drawing import DRAWINGS, canvas, plain
from microtome.view.palette import BLUE, SIGNED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage


@DRAWINGS.register("absolute", summary="what units read and write where |x| is computed")
def absolute(data: Data) -> "Figure":
    """Reads of the exact network, reads and writes of a sparse one, and how many units serve several features."""
    figure, rows = canvas(2, 2, 4.4, 3.7)
    row = [axes for half in rows for axes in half]
    at = max(range(len(data.probabilities)), key=lambda i: data.polysemantic[i])
    p = data.probabilities[at]
    exact, first, second = data.exact.first[0], data.networks.first[at], data.networks.second[at].T
    n, units = first.shape
    _matrix(row[0], exact, exact, "3 features, 6 units: read")
    _matrix(row[2], first, first, f"{n} features, {units} units, p = {p:g}: read")
    image = _matrix(row[3], second, first, f"{n} features, {units} units, p = {p:g}: written")
    figure.colorbar(image, ax=row[3], label="weight over the unit's largest")
    row[1].plot([1 / p for p in data.probabilities], data.polysemantic, "o-", color=BLUE)
    row[1].set(
        xscale="log", xlabel="1 / (1 − S), by sparsity S", ylabel="share of units serving several", ylim=(0, 1.02)
    )
    plain(row[1])
    return figure


def _matrix(axes: "Axes", weights: Float[Tensor, "n u"], reads: Float[Tensor, "n u"], title: str) -> "AxesImage":
    """Each unit scaled to its largest weight; units in the order of the feature that they read most."""
    shown = weights[:, reads.abs().argmax(0).argsort(stable=True)]
    image = axes.imshow(
        (shown / shown.abs().amax(0).clamp_min(1e-12)).numpy(), cmap=SIGNED, vmin=-1, vmax=1, aspect="auto"
    )
    axes.set(xlabel="hidden unit", ylabel="feature")
    ticker = need("matplotlib.ticker", extra="figures")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes.set_title(title)
    return image
