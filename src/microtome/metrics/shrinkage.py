"""Shrinkage: whether reconstructions would fit better if all were longer, or shorter."""

from jaxtyping import Float
from torch import Tensor

from microtome.metrics.metric import metric
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="relative reconstruction bias γ: below 1, a longer reconstruction would fit better")
class Shrinkage(OfReconstruction):
    """Relative reconstruction bias γ: the factor by which reconstructions are too long.

        γ = Σ‖x̂‖² / Σ x · x̂        = argmin over c of Σ‖x̂ / c − x‖²

    Unit: none. Range: any number whose sign is that of Σ x · x̂, which must be above zero; 1 is unbiased, below 1
    all would fit better if they were longer (what an L1 penalty does), above 1 shorter. Closer to 1 is better.
    Rajamanoharan et al. 2024, arXiv:2404.16014, section on shrinkage.

    When it misleads:
        - A decoder bias that carries a large mean of x takes part in both sums and hides what the units do: take
          the mean off x and x̂ first to see the units alone.
        - 1 is not good by itself: a least-squares fit of anything has γ = 1, the mean activation too.

    Shapes:
        x, x_hat: [t, d].
    """

    name, unit, better, best = "shrinkage", "1", "closer", 1.0
    below = "a sum of x · x̂"
    when_not_above_zero = "add tokens first; reconstructions that point away from x have no such bias, so see `cosine`"

    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        return x_hat.square().sum(1), (x * x_hat).sum(1)
