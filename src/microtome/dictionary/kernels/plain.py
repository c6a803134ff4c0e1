"""The sparse products and choices in plain torch: what runs on a GPU, and what the compiled ones are held to."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.dictionary.codes import Picks

# Candidates kept for each place that is wanted: bf16 scores are off by their rounding, so that one of the strongest
# may look a little weaker.
SPARE_SHARE, SPARE = 0.25, 8
# Numbers that a chunk of gathered rows may hold, so that memory stays bounded.
AT_ONCE = 1 << 26


def dots(x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "n"]:
    """x[row] · weights[id] at each place."""
    parts = zip(_parts(picks.rows, x.shape[1]), _parts(picks.ids, x.shape[1]), strict=True)
    return torch.cat([x.new_zeros(0), *((x[r] * weights[i]).sum(1) for r, i in parts)])


def mixed(values: Float[Tensor, "n"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "t d"]:
    """Σ values · weights[id] over the places of each row."""
    return _summed(values, weights, picks.ids, picks.rows, picks.n_rows)


def gathered(values: Float[Tensor, "n"], x: Float[Tensor, "t d"], picks: Picks) -> Float[Tensor, "u d"]:
    """Σ values · x[row] over the places of each unit: the transpose of `mixed`."""
    return _summed(values, x, picks.rows, picks.ids, picks.n_units)


def _summed(
    values: Float[Tensor, "n"], what: Float[Tensor, "m d"], taken: Int[Tensor, "n"], to: Int[Tensor, "n"], size: int
) -> Float[Tensor, "s d"]:
    width = what.shape[1]
    found = what.new_zeros(size, width)
    for v, t, o in zip(_parts(values, width), _parts(taken, width), _parts(to, width), strict=True):
        found.index_add_(0, o, v[:, None] * what[t])
    return found


def _parts(x: Tensor, width: int) -> tuple[Tensor, ...]:
    return x.split(max(1, AT_ONCE // width)) if len(x) else ()


def top_of_each(
    product: Tensor,
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    scale: Float[Tensor, "u"],
    k: int,
) -> Picks:
    """The k units of each row with the largest (x · weights + bias) · scale, of those above zero.

    Args:
        product: x · weights to the precision at hand, `[t, u]`, by which candidates are screened.
        x, weights, bias, scale: what decides among them.
        k: at most u.
    """
    scores = (product.to(x.dtype) + bias) * scale
    ids = scores.topk(with_spare(k, scores.shape[1]), dim=1).indices.sort(1).values
    offsets = torch.arange(len(scores) + 1, device=x.device) * ids.shape[1]
    exact, scores = _rescored(x, weights, bias, scale, Picks(ids.flatten(), offsets, product.shape[1]))
    table = scores.view(len(x), -1)
    chosen = torch.zeros_like(table, dtype=torch.bool).scatter_(1, table.topk(k, dim=1).indices, True)
    return exact.where(chosen.flatten() & (scores > 0))


def bound(scores: Float[Tensor, "n"], wanted: int) -> float:
    """What at least `wanted` of the scores reach, and hardly more."""
    return float(scores.topk(wanted, sorted=False).values.min())


def screen(product: Tensor, bias: Float[Tensor, "u"], scale: Float[Tensor, "u"], bounds: Float[Tensor, "t"]) -> Picks:
    """Every place where (product + bias) · scale is above its row's bound."""
    return Picks.of((product.to(bias.dtype) + bias) * scale > bounds[:, None])


def with_spare(n: int, most: int) -> int:
    """How many to screen for n that are wanted."""
    return min(n + int(SPARE_SHARE * n) + SPARE, most)


def _rescored(
    x: Tensor, weights: Tensor, bias: Tensor, scale: Tensor, screened: Picks
) -> tuple[Picks, Float[Tensor, "n"]]:
    exact = dots(x, weights, screened)
    ids = screened.ids
    return Picks(ids, screened.offsets, screened.n_units, exact), (exact + bias[ids]) * scale[ids]
