"""What each feature's output makes of each feature, W Wᵀ, for linear models and ReLU models."""

from typing import TYPE_CHECKING

from microtome.toy.figures.linear import Data
from microtome.view.drawing import DRAWINGS, canvas
from microtome.view.palette import SIGNED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@DRAWINGS.register("linear", summary="WᵀW of a linear model and of ReLU models, from dense features to sparse ones")
def linear(data: Data) -> "Figure":
    """A panel a model; features from the most important to the least, rows are outputs."""
    shown = [("linear, p = 1", data.linear.weights[0])]
    shown += [(f"ReLU, p = {p:g}", one) for p, one in zip(data.probabilities, data.relu.weights, strict=True)]
    figure, rows = canvas(2, -(-len(shown) // 2), 2.4, 2.5)
    panels = [axes for row in rows for axes in row]
    image = None
    for axes, (title, weights) in zip(panels, shown, strict=False):
        image = axes.imshow((weights @ weights.T).numpy(), cmap=SIGNED, vmin=-1, vmax=1)
        axes.set_title(title)
        axes.set(xlabel="feature $j$", ylabel="output $i$", xticks=(0, 5, 10, 15), yticks=(0, 5, 10, 15))
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    assert image is not None, "no model to draw"
    figure.colorbar(image, ax=panels, label="$W_i · W_j$", shrink=0.7)
    return figure
