"""The sparse products and choices for the CPU, compiled by numba: the same functions as in `plain`.

Every loop runs over rows or units that no other thread touches, so results do not depend on the number of threads.
"""

from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
import torch
from jaxtyping import Float
from numba import get_num_threads, njit, prange, set_num_threads
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels.plain import with_spare

# Sums may be taken in another order, for vector instructions; NaN and infinity keep their meaning.
FAST = {"reassoc", "nsz", "arcp", "contract", "afn"}
MOST_THREADS = get_num_threads()  # before anyone has set it: what numba was started with
# Rows that a thread takes together: they share its room, and each begins where the one before ended.
HEIGHT = 64
# One row in so many tells how high the strongest of a whole batch begin.
SAMPLED = 16


def _compiled(function: Callable[..., Any]) -> Any:
    return njit(parallel=True, cache=True, fastmath=FAST, nogil=True)(function)


def _within(function: Callable[..., Any]) -> Any:
    return njit(cache=True, fastmath=FAST, nogil=True)(function)


def dots(x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "n"]:
    """x[row] · weights[id] at each place."""
    found = torch.empty(len(picks), dtype=x.dtype)
    _run(_dots, x, weights, picks.ids, picks.offsets, found)
    return found


def mixed(values: Float[Tensor, "n"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "t d"]:
    """Σ values · weights[id] over the places of each row."""
    found = torch.empty(picks.n_rows, weights.shape[1], dtype=weights.dtype)
    _run(_mixed, values, weights, picks.ids, picks.offsets, found)
    return found


def gathered(values: Float[Tensor, "n"], x: Float[Tensor, "t d"], picks: Picks) -> Float[Tensor, "u d"]:
    """Σ values · x[row] over the places of each unit: the transpose of `mixed`."""
    n, starts = len(picks), torch.zeros(picks.n_units + 1, dtype=torch.int64)
    order, rows = torch.empty(n, dtype=torch.int64), torch.empty(n, dtype=torch.int64)
    _run(_by_unit, picks.ids, picks.offsets, starts, order, rows)
    found = torch.empty(picks.n_units, x.shape[1], dtype=x.dtype)
    _run(_mixed, values[order], x, rows, starts, found)
    return found


def top_of_each(
    product: Tensor,
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    scale: Float[Tensor, "u"],
    k: int,
) -> Picks:
    """The k units of each row with the largest (x · weights + bias) · scale, of those above zero."""
    t, u = product.shape
    ids, exact = torch.empty(t, k, dtype=torch.int64), torch.empty(t, k, dtype=x.dtype)
    counts = torch.empty(t, dtype=torch.int64)
    wanted = with_spare(k, u)
    _run(_top_of_each, product, x, weights, bias, scale, k, wanted, ids, exact, counts)
    kept = torch.arange(k) < counts[:, None]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    if int(offsets[-1]) == t * k:
        return Picks(ids.view(-1), offsets, u, exact.view(-1))
    return Picks(ids[kept], offsets, u, exact[kept])


def top_of_all(
    product: Tensor,
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    scale: Float[Tensor, "u"],
    n: int,
) -> Picks:
    """The n places of the whole array with the largest (x · weights + bias) · scale, of those above zero."""
    wanted = with_spare(n, product.numel())
    sample = ((product[::SAMPLED].to(x.dtype) + bias) * scale).view(-1)
    bound = float(_run(_bound, sample, min(wanted // SAMPLED + 1, len(sample)), 1.0))
    screened = screen(product, bias, scale, x.new_full((len(x),), bound))
    while len(screened) < wanted and bound > 0:  # the sample was richer than the rest
        bound = bound * 0.8 if bound > 1e-30 else 0.0
        screened = screen(product, bias, scale, x.new_full((len(x),), bound))
    exact = dots(x, weights, screened)
    scores = (exact + bias[screened.ids]) * scale[screened.ids]
    chosen = torch.zeros(len(scores), dtype=torch.bool)
    chosen[scores.topk(min(n, len(scores)), sorted=False).indices] = True
    return Picks(screened.ids, screened.offsets, screened.n_units, exact).where(chosen & (scores > 0))


def screen(product: Tensor, bias: Float[Tensor, "u"], scale: Float[Tensor, "u"], bounds: Float[Tensor, "t"]) -> Picks:
    """Every place where (product + bias) · scale is above its row's bound."""
    counts = torch.empty(len(product), dtype=torch.int64)
    _run(_count_above, product, bias, scale, bounds, counts)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    ids = torch.empty(int(offsets[-1]), dtype=torch.int64)
    _run(_fill_above, product, bias, scale, bounds, offsets, ids)
    return Picks(ids, offsets, product.shape[1])


def _run(kernel: Any, *arguments: Any) -> Any:
    """Runs a kernel with as many threads as torch has; tensors become arrays of the same memory."""
    set_num_threads(min(torch.get_num_threads(), MOST_THREADS))
    return kernel(*(_array(one) if isinstance(one, Tensor) else one for one in arguments))


def _array(tensor: Tensor) -> np.ndarray:
    plain = tensor.detach()
    # numpy has no bf16: its bits are handed over, and widened by the kernels.
    return (plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy()


@_compiled
@no_type_check
def _dots(x, weights, ids, offsets, found):
    for row in prange(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            w = weights[ids[place]]
            total = x[row, 0] * w[0]
            for i in range(1, x.shape[1]):
                total += x[row, i] * w[i]
            found[place] = total


@_compiled
@no_type_check
def _mixed(values, what, ids, offsets, found):
    for row in prange(len(offsets) - 1):
        found[row] = 0
        for place in range(offsets[row], offsets[row + 1]):
            w, v = what[ids[place]], values[place]
            for i in range(found.shape[1]):
                found[row, i] += v * w[i]


@_within
@no_type_check
def _by_unit(ids, offsets, starts, order, rows):
    """The places in the order of their units, by counting: `starts` becomes where each unit begins."""
    for j in range(len(ids)):
        starts[ids[j] + 1] += 1
    for unit in range(len(starts) - 1):
        starts[unit + 1] += starts[unit]
    free = starts[:-1].copy()
    for row in range(len(offsets) - 1):
        for place in range(offsets[row], offsets[row + 1]):
            at = free[ids[place]]
            free[ids[place]] = at + 1
            order[at], rows[at] = place, row


@_within
@no_type_check
def _scores(product, row, bias, scale, bits, found):
    """(product + bias) · scale of one row; bf16 comes as its bits, the upper half of a float32's."""
    if product.itemsize == 2:
        for j in range(len(found)):
            bits[j] = np.int32(product[row, j]) << 16
        wide = bits.view(np.float32)
        for j in range(len(found)):
            found[j] = (wide[j] + bias[j]) * scale[j]
    else:
        for j in range(len(found)):
            found[j] = (product[row, j] + bias[j]) * scale[j]


@_within
@no_type_check
def _count(scores, bound):
    n = 0
    for j in range(len(scores)):
        n += scores[j] > bound
    return n


@_within
@no_type_check
def _collect(scores, bound, found):
    """Places above a bound, in order; a stretch whose largest is not above it is passed over."""
    n, width = 0, 32
    for start in range(0, len(scores), width):
        end = min(start + width, len(scores))
        highest = scores[start]
        for j in range(start, end):
            highest = max(highest, scores[j])
        if highest > bound:
            for j in range(start, end):
                if scores[j] > bound:
                    found[n] = j
                    n += 1
    return n


@_within
@no_type_check
def _bound(scores, wanted, guess):
    """A bound with at least `wanted` scores above it, and not many more: halved into from a neighbour's."""
    low, high, step = -np.inf, np.inf, max(0.05 * abs(guess), 1e-6)
    bound = guess
    for _ in range(60):
        n = _count(scores, bound)
        if wanted <= n <= wanted + wanted // 2:
            return bound
        if n < wanted:
            high = bound
            bound = bound - step if low == -np.inf else (low + high) / 2
        else:
            low = bound
            bound = bound + step if high == np.inf else (low + high) / 2
        if low == -np.inf or high == np.inf:
            step *= 2
    return low  # many equal scores: all of them, and none of what is below


@_compiled
@no_type_check
def _top_of_each(product, x, weights, bias, scale, k, wanted, ids, exact, counts):
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        found, own = np.empty(u, np.int64), np.empty(u, bias.dtype)
        guess = 1.0
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            bound = -np.inf if wanted == u else _bound(scores, wanted, guess)
            guess = bound if np.isfinite(bound) else guess
            n = _collect(scores, bound, found)
            for place in range(n):
                w = weights[found[place]]
                total = x[row, 0] * w[0]
                for i in range(1, x.shape[1]):
                    total += x[row, i] * w[i]
                own[place] = total
                scores[place] = (total + bias[found[place]]) * scale[found[place]]
            least = np.partition(scores[:n], n - k)[n - k] if n > k else -np.inf
            above = 0
            for place in range(n):
                above += scores[place] > least
            kept, equal = 0, k - above  # of equal ones at the end of the list, the first units
            for place in range(n):
                if scores[place] > 0 and (scores[place] > least or (scores[place] == least and equal > 0)):
                    equal -= scores[place] == least
                    ids[row, kept], exact[row, kept] = found[place], own[place]
                    kept += 1
            counts[row] = kept


@_compiled
@no_type_check
def _count_above(product, bias, scale, bounds, counts):
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            counts[row] = _count(scores, bounds[row])


@_compiled
@no_type_check
def _fill_above(product, bias, scale, bounds, offsets, ids):
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores, found = np.empty(u, np.int32), np.empty(u, bias.dtype), np.empty(u, np.int64)
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            n = _collect(scores, bounds[row], found)
            ids[offsets[row] : offsets[row] + n] = found[:n]
