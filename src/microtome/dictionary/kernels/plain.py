"""The sparse products and choices in plain torch: what runs on a GPU, and what the compiled ones are held to."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.dictionary.codes import Picks

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


def largest(product: Float[Tensor, "t u"], bias: Float[Tensor, "u"], scale: Float[Tensor, "u"], k: int) -> Picks:
    """The k places of each row with the largest (product + bias) · scale."""
    scores = (product.float() + bias) * scale
    ids = scores.topk(min(k, scores.shape[1]), dim=1).indices.sort(1).values
    offsets = torch.arange(len(scores) + 1, device=scores.device) * ids.shape[1]
    return Picks(ids.flatten(), offsets, scores.shape[1])


def largest_of_all(product: Float[Tensor, "t u"], bias: Float[Tensor, "u"], scale: Float[Tensor, "u"], n: int) -> Picks:
    """The n places with the largest (product + bias) · scale of the whole array."""
    scores = (product.float() + bias) * scale
    chosen = torch.zeros_like(scores, dtype=torch.bool)
    chosen.view(-1)[scores.flatten().topk(min(n, scores.numel())).indices] = True
    return Picks.of(chosen)


def above(product: Float[Tensor, "t u"], bound: Float[Tensor, "u"], slack: Float[Tensor, "t"]) -> Picks:
    """Every place where product + the row's slack is above the unit's bound."""
    return Picks.of(product.float() + slack[:, None] > bound)
