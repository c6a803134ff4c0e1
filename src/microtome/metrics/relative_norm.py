"""Relative norm: how long reconstructions are beside what they reconstruct."""

from jaxtyping import Float
from torch import Tensor

from microtome.metrics.metric import metric
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="mean over tokens of the reconstruction's norm over the activation's")
class RelativeNorm(OfReconstruction):
    """Mean over tokens of the reconstruction's norm over the activation's; called `l2_ratio` elsewhere.

        relative norm = mean over tokens of ‖x̂‖ / ‖x‖

    Unit: none. Range: [0, ∞); best at 1, and closer to 1 is better.

    When it misleads:
        - A sparse reconstruction leaves something out, so even the best of its kind is shorter than x: below 1 need
          not be shrinkage. `shrinkage` asks whether another length would fit better.
        - It does not see the direction: any vector of the right length scores 1.

    Shapes:
        x, x_hat: [t, d]; no x may be zero.
    """

    name, unit, better, best = "relative_norm", "1", "closer", 1.0

    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        ratios = x_hat.norm(dim=1) / self._norms(x)
        return ratios, ratios.new_ones(len(x))
