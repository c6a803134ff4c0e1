"""Which units are active: screened by a bf16 product over all of them, then decided by exact float32 scores.

The screening takes somewhat more than is wanted, by scores that are off by their rounding; of those places the ones
that it leaves in doubt are computed exactly, and the choice is made among them. Where many of the units are wanted, it
is made by float32 scores of all. On inputs of ordinary size it is the choice that float32 over all units would make.
"""

import math
import platform
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels.plain import with_spare
from microtome.dictionary.share import Share
from microtome.dictionary.sparse import DENSE, dots, kernels_for

# bf16 keeps 8 bits, so each factor of a product is off by up to 2⁻⁹ of itself. Errors of d products add up like a
# random walk, to about 2⁻⁹ ‖x‖ ‖w‖ / √d; a place is looked at where it is within so many of these of the bound.
BF16, DEVIATIONS = 2.0**-9, 6.0
# Numbers of the product that are held at a time: on a CPU they stay in its cache, and the same memory serves all parts.
# Asked of the system anew for every batch, its pages alone would take longer than the product. Of many
# units at least so many rows for each thread.
ON_CPU, ON_GPU, A_THREAD = 1 << 22, 1 << 28, 64
# One row in so many tells how high the strongest of a whole batch begin.
SAMPLED = 16


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
    x = _centred(x, shift)
    scale = torch.ones_like(bias) if scale is None else scale
    most = min(k, len(bias))
    if most > DENSE * len(bias):
        picks = Picks.stacked([_top(product, bias, scale, most) for _, product in _products(x, weights, x.dtype)])
    else:
        choose = kernels_for(x).top_of_each
        parts = _products(x, weights, _kind(x))
        picks = Picks.stacked([choose(product, rows, weights, bias, scale, most) for rows, product in parts])
    if share is None or share.alone:
        return picks
    table = scale.new_full((len(x), k), -torch.inf)
    filled = torch.arange(k, device=x.device) < picks.counts[:, None]
    table[filled] = _scores(picks, bias, scale)
    return picks.where(share.across.largest(table, k)[filled])


def _top(product: Tensor, bias: Tensor, scale: Tensor, k: int) -> Picks:
    """The same of a product that is exact: where many of the units are wanted, screening spares nothing."""
    scores = (product + bias) * scale
    ids = scores.topk(k, dim=1).indices.sort(1).values
    chosen = scores.gather(1, ids) > 0
    offsets = torch.cat([ids.new_zeros(1), chosen.sum(1).cumsum(0)])
    return Picks(ids[chosen], offsets, len(bias), product.gather(1, ids)[chosen])


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
    x = _centred(x, shift)
    scale = torch.ones_like(bias) if scale is None else scale
    picks = _top_of_all(x, weights, bias, scale, min(n, len(x) * len(bias)))
    if share is None or share.alone:
        return picks
    places = picks.rows * share.of + share.first + picks.ids
    return picks.where(share.across.largest_of_all(_scores(picks, bias, scale), places, n))


def _top_of_all(x: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, n: int) -> Picks:
    wanted = with_spare(n, len(x) * len(bias))
    sample = torch.cat([product for _, product in _products(x[::SAMPLED], weights, _kind(x))])
    scores = ((sample.to(x.dtype) + bias) * scale).flatten()
    bound = kernels_for(x).bound(scores, min(wanted // SAMPLED + 1, len(scores)))
    screened = _screened(x, weights, bias, scale, x.new_full((len(x),), bound))
    while len(screened) < wanted and bound > 0:  # the sample was richer than the rest
        bound = bound * 0.8 if bound > 1e-30 else 0.0
        screened = _screened(x, weights, bias, scale, x.new_full((len(x),), bound))
    exact = dots(x, weights, screened)
    picks = Picks(screened.ids, screened.offsets, screened.n_units, exact)
    scores = _scores(picks, bias, scale)
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen[scores.topk(min(n, len(scores)), sorted=False).indices] = True
    return picks.where(chosen & (scores > 0))


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
    slack = torch.zeros_like(x[:, 0])
    if _kind(x) == torch.bfloat16:
        longest = torch.linalg.vector_norm(weights, dim=1).max()
        slack = DEVIATIONS * BF16 * torch.linalg.vector_norm(x, dim=1) * longest / math.sqrt(x.shape[1])
        slack += BF16 * (bound - bias).abs().max()  # the product itself is rounded too
    screened = _screened(x, weights, bias - bound, torch.ones_like(bias), -slack)
    exact = dots(x, weights, screened)
    picks = Picks(screened.ids, screened.offsets, screened.n_units, exact)
    return picks.where(exact + bias[screened.ids] > bound[screened.ids])


def _centred(x: Tensor, shift: Tensor | None) -> Tensor:
    return x if shift is None else x - shift


def _screened(x: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, bounds: Float[Tensor, "t"]) -> Picks:
    """Every place whose score, as the product at hand has it, is above its row's bound."""
    screen = kernels_for(x).screen
    start = 0
    parts = []
    for rows, product in _products(x, weights, _kind(x)):
        parts.append(screen(product, bias, scale, bounds[start : start + len(rows)]))
        start += len(rows)
    return Picks.stacked(parts)


def _products(
    x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"], kind: torch.dtype
) -> Iterator[tuple[Tensor, Tensor]]:
    """Some of the rows, and their product with the weights in this precision; it lasts until the next."""
    narrow, across = x.detach().to(kind), weights.detach().to(kind).T
    size = rows_at_once(len(weights), on_cpu=x.device.type == "cpu")
    kept = narrow.new_empty(min(size, len(x)), len(weights))
    for rows, few in zip(x.split(size), narrow.split(size), strict=True):
        yield rows, torch.mm(few, across, out=kept[: len(rows)])


def rows_at_once(units: int, *, on_cpu: bool) -> int:
    """For how many rows the product with all units is held at a time."""
    if on_cpu:
        return max(A_THREAD * torch.get_num_threads(), ON_CPU // max(units, 1))
    return max(1, ON_GPU // max(units, 1))


def screened_in(device: torch.device) -> torch.dtype:
    """Of the product that screens units, where inputs are float32."""
    return torch.bfloat16 if bf16_is_quick(device) else torch.float32


def _kind(x: Tensor) -> torch.dtype:
    return screened_in(x.device) if x.dtype == torch.float32 else x.dtype


def bf16_is_quick(device: torch.device) -> bool:
    """Whether the device multiplies bf16 faster than float32; most older processors do not.

    Torch calls bf16 supported where AVX-512 is, though without instructions of its own it takes four times as long.
    """
    if device.type == "cpu":
        own = platform.machine() in ("arm64", "aarch64") or torch.cpu._is_avx512_bf16_supported()
        return own and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type == "cuda"
