"""Which units are active: screened by a bf16 product over all of them, then decided by exact float32 scores.

The screening takes somewhat more than is wanted, by scores that are off by their rounding; those places alone are
computed exactly, and the choice is made among them. On inputs of ordinary size it is the choice that float32 over
all units would make.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.share import Share
from microtome.dictionary.sparse import dots, kernels_for

# bf16 keeps 8 bits, so each factor of a product is off by up to 2⁻⁹ of itself. Errors of d products add up like a
# random walk, to about 2⁻⁹ ‖x‖ ‖w‖ / √d; a place is looked at where it is within so many of these of the bound.
BF16, DEVIATIONS = 2.0**-9, 6.0


def top_of_each(
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    shift: Float[Tensor, "d"] | None,
    k: int,
    scale: Float[Tensor, "u"] | None = None,
    share: Share | None = None,
) -> Picks:
    """The k units of each token with the largest ((x − shift) · weights + bias) · scale, of those above zero.

    Where these units are a share of a block, those of them that are among the k of the whole block.
    """
    x, scale = _centred(x, shift), torch.ones_like(bias) if scale is None else scale
    picks = kernels_for(x).top_of_each(_product(x, weights), x, weights, bias, scale, min(k, len(bias)))
    if share is None or share.alone:
        return picks
    table = scale.new_full((len(x), k), -torch.inf)
    filled = torch.arange(k, device=x.device) < picks.counts[:, None]
    table[filled] = _scores(picks, bias, scale)
    return picks.where(share.across.largest(table, k)[filled])


def top_of_all(
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    shift: Float[Tensor, "d"] | None,
    n: int,
    scale: Float[Tensor, "u"] | None = None,
    share: Share | None = None,
) -> Picks:
    """The n places of the whole batch with the largest ((x − shift) · weights + bias) · scale, of those above zero.

    Where these units are a share of a block, those of them that are among the n of the whole block and batch.
    """
    x, scale = _centred(x, shift), torch.ones_like(bias) if scale is None else scale
    picks = kernels_for(x).top_of_all(_product(x, weights), x, weights, bias, scale, min(n, len(x) * len(bias)))
    if share is None or share.alone:
        return picks
    places = picks.rows * share.of + share.first + picks.ids
    return picks.where(share.across.largest_of_all(_scores(picks, bias, scale), places, n))


def _scores(picks: Picks, bias: Float[Tensor, "u"], scale: Float[Tensor, "u"]) -> Float[Tensor, "n"]:
    assert picks.dots is not None
    return (picks.dots + bias[picks.ids]) * scale[picks.ids]


def above(
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    shift: Float[Tensor, "d"] | None,
    bound: Float[Tensor, "u"] | float,
) -> Picks:
    """Every place where (x − shift) · weights + bias is above the unit's bound."""
    x = _centred(x, shift)
    bound = torch.as_tensor(bound, dtype=bias.dtype, device=bias.device).expand_as(bias)
    product = _product(x, weights)
    slack = torch.zeros_like(x[:, 0])
    if product.dtype == torch.bfloat16:
        longest = torch.linalg.vector_norm(weights, dim=1).max()
        slack = DEVIATIONS * BF16 * torch.linalg.vector_norm(x, dim=1) * longest / math.sqrt(x.shape[1])
        slack += BF16 * (bound - bias).abs().max()  # the product itself is rounded too
    screened = kernels_for(x).screen(product, bias - bound, torch.ones_like(bias), -slack)
    exact = dots(x, weights, screened)
    picks = Picks(screened.ids, screened.offsets, screened.n_units, exact)
    return picks.where(exact + bias[screened.ids] > bound[screened.ids])


def _centred(x: Tensor, shift: Tensor | None) -> Tensor:
    return x if shift is None else x - shift


def _product(x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"]) -> Tensor:
    if x.dtype == torch.float32 and bf16_is_quick(x.device):
        return x.bfloat16() @ weights.bfloat16().T
    return x @ weights.T


def bf16_is_quick(device: torch.device) -> bool:
    """Whether the device multiplies bf16 faster than float32; most older processors do not."""
    if device.type == "cpu":
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type == "cuda"
