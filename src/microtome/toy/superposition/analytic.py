"""Losses in closed form of what two features can do with one dimension, for the ReLU output model.

The first feature has importance 1, the second r; each is active with probability p, uniform on [0, 1]:

    one is dedicated the dimension      the other's error is its variance, r V or V, with V = p/3 − p²/4
    they are antipodal                  W = (1, −1), b = 0 errs only where both are active: p² (1 + r) / 6

Weights and biases of trained models are free beyond these three, so their losses are at most the least of them, and the
true region of the antipodal pair is somewhat larger than p < 4r / (2 + 5r), where these formulas put it for r ≤ 1.
Three features in two dimensions: an orthogonal pair without the third, without the first or second, or the third
antipodal to one of them beside a dedicated other. (Elhage et al. 2022, section 5; the closed forms are ours.)
"""

import math
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

Loss = Callable[[float, float], float]


def variance(p: float) -> float:
    """Of a feature: what is lost where it is predicted by its mean p / 2."""
    return p / 3 - p * p / 4


def together(p: float, first: float, second: float) -> float:
    """What an antipodal pair loses, by its features' importances: E min(U, V)² = 1/6 where both are active.

    The larger of the two is read as their difference and the smaller as nothing: each errs by the smaller value.
    """
    return p * p * (first + second) / 6


# What can be done with two features in one dimension, and with three in two; r is the last one's importance.
TWO_IN_ONE: Mapping[str, Loss] = {
    "the last is left out": lambda p, r: r * variance(p),
    "in superposition": lambda p, r: together(p, 1.0, r),
    "the last alone has its dimension": lambda p, r: variance(p),
}
THREE_IN_TWO: Mapping[str, Loss] = {
    "the last is left out": lambda p, r: r * variance(p),
    "in superposition": lambda p, r: min(together(p, 1.0, r), together(p, 1.0, 1.0)),
    "the last alone has its dimension": lambda p, r: variance(p),
}


def least(solutions: Mapping[str, Loss], p: float, r: float) -> str:
    """The solution that loses least."""
    return min(solutions, key=lambda name: solutions[name](p, r))


def principal_components(n: int, m: int, variances: float = 1 / 12) -> float:
    """What m principal components of n features, alike and always active, leave of their variance."""
    return (n - m) * variances


def polygon(n: int) -> Float[Tensor, "n 2"]:
    """Directions of a regular polygon: a tight frame in which each feature has 2/n of a dimension."""
    angle = torch.arange(n) * (2 * math.pi / n)
    return torch.stack([angle.cos(), angle.sin()], 1)
