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

# Places screened beyond those that are wanted: a share of them, and a few where they are few.
SPARE_SHARE, SPARE = 0.25, 8
# bf16 keeps 8 bits, so each factor of a product is off by up to 2⁻⁹ of itself. The errors of d products add up
# like a random walk; five standard deviations of it lie within this many times 2⁻⁹ ‖x‖ ‖w‖ / √d · √d/√d.
BF16, DEVIATIONS = 2.0**-9, 5.0


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
    share = share or Share.whole(len(bias))
    wanted = min(k + math.ceil(SPARE_SHARE * k) + SPARE, len(bias))
    screened = kernels_for(x).largest(_product(x, weights), bias, scale, wanted)
    exact, scores = _rescored(x, weights, bias, scale, screened)
    chosen = share.across.largest(scores.view(len(x), wanted), k)
    return exact.where(chosen.flatten() & (scores > 0))


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
    share = share or Share.whole(len(bias))
    wanted = min(n + math.ceil(SPARE_SHARE * n) + SPARE, len(x) * len(bias))
    screened = kernels_for(x).largest_of_all(_product(x, weights), bias, scale, wanted)
    exact, scores = _rescored(x, weights, bias, scale, screened)
    places = exact.rows * share.of + share.first + exact.ids
    return exact.where(share.across.largest_of_all(scores, places, n))


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
        largest = torch.linalg.vector_norm(weights, dim=1).max()
        slack = DEVIATIONS * BF16 * torch.linalg.vector_norm(x, dim=1) * largest / math.sqrt(x.shape[1])
        slack = slack + 2 * BF16 * (bound - bias).abs().max()
    screened = kernels_for(x).above(product, bound - bias, slack)
    exact = _with_dots(x, weights, screened)
    assert exact.dots is not None
    return exact.where(exact.dots + bias[exact.ids] > bound[exact.ids])


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


def _rescored(
    x: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, screened: Picks
) -> tuple[Picks, Float[Tensor, "n"]]:
    exact = _with_dots(x, weights, screened)
    assert exact.dots is not None
    return exact, (exact.dots + bias[exact.ids]) * scale[exact.ids]


def _with_dots(x: Tensor, weights: Tensor, screened: Picks) -> Picks:
    return Picks(screened.ids, screened.offsets, screened.n_units, dots(x, weights, screened))
