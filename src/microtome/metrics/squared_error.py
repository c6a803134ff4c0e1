"""Mean squared error: the loss that dictionaries are trained on."""

from jaxtyping import Float
from torch import Tensor

from microtome.metrics.metric import metric
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="squared error of the reconstruction, summed over the width, mean over tokens")
class MeanSquaredError(OfReconstruction):
    """Squared error of the reconstruction, summed over the width and averaged over tokens.

        error = mean over tokens of ‖x − x̂‖²

    The sum over d, not the mean: d times what a mean over all numbers gives. Unit: that of x, squared. Range:
    [0, ∞), lower is better.

    When it misleads: it has the scale of the site, so figures of two sites, of two models, or of activations that
    were scaled and were not, cannot be compared; `explained_variance` is made for that.

    Shapes:
        x, x_hat: [t, d].
    """

    name, unit, better, best = "mean_squared_error", "activation²", "lower", 0.0

    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        error = (x - x_hat).square().sum(1)
        return error, error.new_ones(len(x))
