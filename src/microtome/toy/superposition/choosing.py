"""Of copies that differ in their start alone: the best, since many end in a poor minimum."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def best_of(losses: Float[Tensor, "i"], copies: int) -> Int[Tensor, "g"]:
    """Which model of each group of neighbours has the least loss."""
    groups = losses.view(-1, copies)
    return groups.argmin(1) + torch.arange(len(groups)) * copies
