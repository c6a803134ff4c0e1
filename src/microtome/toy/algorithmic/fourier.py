"""Waves on a circle of p numbers: how much of an embedding, of logits, of a unit is at which frequency.

A frequency k in 1 … (p − 1)/2 has two waves, cos(2πkn/p) and sin(2πkn/p). Nanda et al. 2023, arXiv:2301.05217.
"""

from collections.abc import Collection
from math import pi

import torch
from jaxtyping import Float, Int
from torch import Tensor


def waves(p: int) -> Float[Tensor, "f 2 p"]:
    """Cosine and sine of each frequency, of length 1; p is odd. In float64."""
    turned = 2 * pi * torch.arange(1, p // 2 + 1)[:, None].double() * torch.arange(p) / p
    return torch.stack([turned.cos(), turned.sin()], 1) * (2 / p) ** 0.5


def embedding_power(table: Float[Tensor, "p d"]) -> Float[Tensor, " f"]:
    """Share of what embeddings vary by that is at each frequency; they sum to 1."""
    power = (waves(len(table)) @ table.double()).square().sum((1, 2))
    return power / power.sum()


def within(table: Float[Tensor, "p d"], frequencies: Collection[int]) -> Float[Tensor, "p d"]:
    """The embeddings with their mean and these frequencies alone."""
    some = waves(len(table))[[k - 1 for k in sorted(frequencies)]].flatten(0, 1)
    return (table.double().mean(0) + some.T @ (some @ table.double())).to(table.dtype)


def logit_power(logits: Float[Tensor, "p p p"]) -> Float[Tensor, " f"]:
    """Share of what logits vary by that is a wave cos(2πk(a + b − c)/p) of the sum, for each frequency k.

    What a circuit that adds on circles writes is these alone; the shares sum to less, by all that is something else.

    Args:
        logits: by first number, second number, and answer c.
    """
    p = len(logits)
    varying = (logits.double() - logits.double().mean(-1, keepdim=True)).flatten(0, 1)
    varying = varying - varying.mean(0)
    a, b, c = torch.meshgrid(*3 * [torch.arange(p)], indexing="ij")
    off = ((a + b - c) % p).flatten()
    total = varying.square().sum()
    by_off = torch.zeros(p, dtype=torch.float64).scatter_add_(0, off, varying.flatten())
    return (waves(p)[:, 0] @ by_off).square() / p**2 / total


def purity(units: Float[Tensor, "p p u"]) -> tuple[Float[Tensor, " u"], Int[Tensor, " u"]]:
    """The largest share of each unit's variance at one frequency, in either number or in both, and that frequency."""
    p = len(units)
    circle = torch.cat([torch.full((1, 1, p), p**-0.5, dtype=torch.float64).expand(1, 2, p), waves(p)])
    circle[0, 1] = 0.0  # the constant has one wave
    varying = units.double() - units.double().mean((0, 1))
    power = torch.einsum("fxa,gyb,abu->fgxyu", circle, circle, varying).square().sum((2, 3))
    own = torch.stack([power[k, k] + power[k, 0] + power[0, k] for k in range(1, len(circle))])
    share, at = (own / power.sum((0, 1)).clamp_min(1e-12)).max(0)
    return share, at + 1
