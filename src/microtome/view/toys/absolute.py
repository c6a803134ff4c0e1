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


@DRAWINGS.register("absolute", summary="what units read and write where |x| is computed")
def absolute(data: Data) -> "Figure":
    """Reads of the exact network, reads and writes of a sparse one, and how many units serve several features."""
    figure, (row,) = canvas(1, 4, 3.3, 3.4)
    at = max(range(len(data.probabilities)), key=lambda i: data.polysemantic[i])
    p = data.probabilities[at]
    exact, first, second = data.exact.first[0], data.networks.first[at], data.networks.second[at].T
    _matrix(row[0], exact, exact, "3 features, 6 units: read")
    _matrix(row[1], first, first, f"fewer units, p = {p:g}: read")
    _matrix(row[2], second, first, f"fewer units, p = {p:g}: written")
    row[3].plot([1 / p for p in data.probabilities], data.polysemantic, "o-", color=BLUE)
    row[3].set(xscale="log", xlabel="1 / (1 − S)", ylabel="share of units serving several", ylim=(0, 1.02))
    plain(row[3])
    return figure


def _matrix(axes: "Axes", weights: Float[Tensor, "n u"], reads: Float[Tensor, "n u"], title: str) -> None:
    """Each unit scaled to its largest weight; units in the order of the feature that they read most."""
    shown = weights[:, reads.abs().argmax(0).argsort(stable=True)]
    axes.imshow((shown / shown.abs().amax(0).clamp_min(1e-12)).numpy(), cmap=SIGNED, vmin=-1, vmax=1, aspect="auto")
    axes.set(xlabel="hidden unit", ylabel="feature")
    whole = need("matplotlib.ticker", extra="figures").MaxNLocator(integer=True)
    axes.yaxis.set_major_locator(whole)
    axes.set_title(title, fontsize="medium")
