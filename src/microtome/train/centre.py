"""Where b_dec starts: in the middle of what is written."""

import torch
from jaxtyping import Float
from torch import Tensor

ROUNDS, TOLERANCE, NEAREST = 100, 1e-6, 1e-5


def geometric_median(points: Float[Tensor, "t d"]) -> Float[Tensor, "d"]:
    """The point with the least sum of distances to all: no single huge one moves it far.

    Weiszfeld's iteration from the mean: the mean weighted by 1 / distance, until the sum of distances no longer
    falls. Distances are held above a small part of the largest, so that a point that is met does no harm.
    """
    found = points.mean(0)
    before = float("inf")
    for _ in range(ROUNDS):
        distances = torch.linalg.vector_norm(points - found, dim=1)
        total = float(distances.sum())
        if total == 0 or before - total <= TOLERANCE * total:
            break
        before = total
        weights = 1 / distances.clamp(min=NEAREST * total / len(points))
        found = (weights @ points) / weights.sum()
    return found


def middle(y: Float[Tensor, "t w d"], how: str) -> Float[Tensor, "w d"]:
    """The `mean` or the geometric `median` of each site, or `zero`."""
    match how:
        case "mean":
            return y.mean(0)
        case "median":
            return torch.stack([geometric_median(y[:, i]) for i in range(y.shape[1])])
        case _:
            return torch.zeros_like(y[0])
