"""Normalising tokens, each by its own size, and turning back what is written."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

How = Literal["no", "layer", "length"]
# What keeps a constant token from a division by zero; it is no part of what is turned back.
FLOOR = 1e-5


def sizes(x: Float[Tensor, "*t d"], how: How) -> tuple[Tensor | float, Tensor | None]:
    """What is taken off each token, and its size; None where inputs are left as they are."""
    match how:
        case "layer":
            return x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        case "length":
            return 0.0, torch.linalg.vector_norm(x, dim=-1, keepdim=True) / x.shape[-1] ** 0.5
        case "no":
            return 0.0, None


def normal(x: Float[Tensor, "*t d"], how: How) -> Float[Tensor, "*t d"]:
    """Each token without its mean and divided by its size, as the convention has it."""
    mean, size = sizes(x, how)
    return x if size is None else (x - mean) / divisor(size, how)


def divisor(size: Float[Tensor, "*t one"], how: How) -> Float[Tensor, "*t one"]:
    """What a token of this size is divided by."""
    return size + FLOOR if how == "layer" else size


def turned_back(y: Float[Tensor, "*t e"], like: Float[Tensor, "*t d"], how: How) -> Float[Tensor, "*t e"]:
    """What was written for normal tokens, for tokens of the size of `like`."""
    mean, size = sizes(like, how)
    return y if size is None else y * size + mean
