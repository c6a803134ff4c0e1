"""Cosine: how well a reconstruction keeps the direction of each activation."""

from jaxtyping import Float
from torch import Tensor

from microtome.metrics.metric import metric
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="mean over tokens of the cosine between activation and reconstruction")
class Cosine(OfReconstruction):
    """Mean over tokens of the cosine between an activation and its reconstruction.

        cosine = mean over tokens of x · x̂ / (‖x‖ ‖x̂‖)        a reconstruction of zero scores 0

    Unit: none. Range: [−1, 1]; 1 is a reconstruction along every activation. Higher is better.

    When it misleads:
        - It does not see the size: x̂ = x / 10 scores 1. Read it beside `relative_norm`.
        - It is taken about zero, not about the mean. Where activations share a large mean, the mean alone scores
          near 1: the shift of a site moves this figure and leaves `explained_variance` as it was.

    Shapes:
        x, x_hat: [t, d]; no x may be zero.
    """

    name, unit, better, best = "cosine", "1", "higher", 1.0

    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        norms = self._norms(x)
        norms_hat = x_hat.norm(dim=1)
        cosines = (x * x_hat).sum(1) / (norms * norms_hat.where(norms_hat > 0, norms))
        return cosines, cosines.new_ones(len(x))
