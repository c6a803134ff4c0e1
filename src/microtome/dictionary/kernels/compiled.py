"""The sparse products and choices for the CPU, compiled by numba: the same functions as in `plain`.

Every loop runs over rows or units that no other thread touches, so results do not depend on the number of threads.
"""

import math
from collections.abc import Callable
from typing import Any, no_type_check
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import get_num_threads, njit, prange, set_num_threads
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels.plain import with_spare

# Sums may be taken in another order, for vector instructions; NaN and infinity keep their meaning.
FAST = {"reassoc", "nsz", "arcp", "contract", "afn"}
# Candidates of a row that are computed exactly in any case, which tells how far off screened scores are; others are
# where they come within so many times the largest error.
SURE, ERRORS, MANY = 16, 3.0, 8
# Where a row's strongest begin, in standard deviations from its mean, and how fast counts fall there: of the first row,
# others take their neighbour's.
GUESS, RATE = 2.5, 3.0
# Rows that a thread takes together: they share its room, and each begins where the one before ended.
HEIGHT = 64


def _most_threads() -> int:
    """What numba was started with. Its threads start here, and with them it sets torch's number: both use OpenMP."""
    of_torch = torch.get_num_threads()
    found = get_num_threads()
    torch.set_num_threads(of_torch)
    return found


MOST_THREADS = _most_threads()


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
    starts, order, rows = _places_of_units(picks)
    found = torch.empty(picks.n_units, x.shape[1], dtype=x.dtype)
    _run(_mixed, values[order], x, rows, starts, found)
    return found


# Of choices that are still at hand: gradients of read and of write vectors both ask.
_BY_UNIT: "WeakKeyDictionary[Picks, tuple[Tensor, Tensor, Tensor]]" = WeakKeyDictionary()


def _places_of_units(picks: Picks) -> tuple[Int[Tensor, "u1"], Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Where each unit begins among places ordered by unit, and of these the numbers and the rows."""
    if picks not in _BY_UNIT:
        n, starts = len(picks), torch.zeros(picks.n_units + 1, dtype=torch.int64)
        order, rows = torch.empty(n, dtype=torch.int64), torch.empty(n, dtype=torch.int64)
        _run(_by_unit, picks.ids, picks.offsets, starts, order, rows)
        _BY_UNIT[picks] = starts, order, rows
    return _BY_UNIT[picks]


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
    _run(_top_of_each, product, (x, weights, bias, scale), k, wanted, (ids, exact, counts))
    kept = torch.arange(k) < counts[:, None]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    if int(offsets[-1]) == t * k:
        return Picks(ids.view(-1), offsets, u, exact.view(-1))
    return Picks(ids[kept], offsets, u, exact[kept])


def bound(scores: Float[Tensor, "n"], wanted: int) -> float:
    """What at least `wanted` of the scores reach, and not many more."""
    return _run(_bound, scores, wanted, GUESS, RATE)[0]


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
    return kernel(*map(_as_array, arguments))


def _as_array(given: Any) -> Any:
    if isinstance(given, tuple):
        return tuple(map(_as_array, given))
    if not isinstance(given, Tensor):
        return given
    # numpy has no bf16: its bits are handed over, and widened by the kernels.
    plain = given.detach()
    return (plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain).numpy()


@_within
@no_type_check
def _dots_of(a, weights, ids, found):
    """a · weights[id] for each id: four at a time, so that their rows are waited for together and `a` is read once.

    At the end the last id stands in for those that four would want more.
    """
    last = len(ids) - 1
    for i in range(0, len(ids), 4):
        j, k, m = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        p, q, r, s = weights[ids[i]], weights[ids[j]], weights[ids[k]], weights[ids[m]]
        by_p, by_q, by_r, by_s = a[0] * p[0], a[0] * q[0], a[0] * r[0], a[0] * s[0]
        for at in range(1, len(a)):
            by_p += a[at] * p[at]
            by_q += a[at] * q[at]
            by_r += a[at] * r[at]
            by_s += a[at] * s[at]
        found[i], found[j], found[k], found[m] = by_p, by_q, by_r, by_s


@_compiled
@no_type_check
def _dots(x, weights, ids, offsets, found):
    for row in prange(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        _dots_of(x[row], weights, ids[start:end], found[start:end])


@_compiled
@no_type_check
def _mixed(values, what, ids, offsets, found):
    for row in prange(len(offsets) - 1):
        out, place, end = found[row], offsets[row], offsets[row + 1]
        out[:] = 0
        while place + 4 <= end:  # as in `_dots_of`
            p, q, r, s = what[ids[place]], what[ids[place + 1]], what[ids[place + 2]], what[ids[place + 3]]
            of_p, of_q, of_r, of_s = values[place], values[place + 1], values[place + 2], values[place + 3]
            for i in range(len(out)):
                out[i] += of_p * p[i] + of_q * q[i] + of_r * r[i] + of_s * s[i]
            place += 4
        for rest in range(place, end):
            w, v = what[ids[rest]], values[rest]
            for i in range(len(out)):
                out[i] += v * w[i]


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
def _collect(scores, bound, mask, found):
    """Places above a bound, in order. `mask` and `found` have room for eight more than there are scores.

    Comparing goes by whole vectors, and eight comparisons at a time are passed over where none is true.
    """
    mask[len(scores) :] = 0
    for j in range(len(scores)):
        mask[j] = scores[j] > bound
    eights = mask[: (len(scores) + 7) // 8 * 8].view(np.uint64)
    n = 0
    for i in range(len(eights)):
        if eights[i] != 0:
            for j in range(8 * i, 8 * i + 8):
                found[n] = j
                n += mask[j]
    return n


@_within
@no_type_check
def _middle(scores):
    """The mean of the scores, and their standard deviation; 1 where that is no number above zero."""
    total, squared = scores[0], scores[0] * scores[0]
    for j in range(1, len(scores)):
        total += scores[j]
        squared += scores[j] * scores[j]
    mean = total / len(scores)
    spread = math.sqrt(max(squared / len(scores) - mean * mean, 0.0))
    return mean, spread if 0 < spread < np.inf else 1.0


@_within
@no_type_check
def _bound(scores, wanted, guess, rate):
    """A bound with at least `wanted` scores above it, and not many more.

    Counts fall about exponentially with the bound, so that a count tells how far off it is; `rate` says how fast they
    fall. Both are best taken from a neighbour, in standard deviations from the mean: rows differ in length more than in
    shape. What leaves the bracket found so far is halved instead.

    Returns:
        the bound, the same in standard deviations from the mean, and the rate met on the way.
    """
    mean, spread = _middle(scores)
    low, high, bound, aim = -np.inf, np.inf, mean + guess * spread, math.log(1.2 * wanted)
    before, logarithm, rate = np.nan, np.nan, rate / spread
    for _ in range(60):
        n = _count(scores, bound)
        if wanted <= n <= wanted + wanted // 2:
            return bound, (bound - mean) / spread, rate * spread
        if n < wanted:
            high = bound
        else:
            low = bound
        last, logarithm = logarithm, math.log(n + 0.5)
        if bound != before and (last - logarithm) / (bound - before) > 0:
            rate = (last - logarithm) / (bound - before)
        before = bound
        bound = bound + (logarithm - aim) / rate
        if not low < bound < high:
            bound = (low + high) / 2 if high - low < np.inf else before + 2 * (before - bound)
    return low, guess, rate * spread  # many equal scores: all of them, and none of what is below


@_within
@no_type_check
def _stronger(scores, place, n):
    """How many of the first n are larger. For each of some fifty this is quicker than sorting: it goes by vectors."""
    larger, own = 0, scores[place]
    for j in range(n):
        larger += scores[j] > own
    return larger


@_within
@no_type_check
def _rank(scores, place, n):
    """How many of the first n come before a place: larger ones, and equal ones that stand before it."""
    before, own = _stronger(scores, place, n), scores[place]
    for j in range(place):
        before += scores[j] == own
    return before


@_within
@no_type_check
def _looked(given, found, places, room, own):
    """Exact dots of some candidates, at their places; the room after them holds scores."""
    a, weights, bias, scale = given
    ids, dots, exact = room
    n = len(places)
    for i in range(n):
        ids[i] = found[places[i]]
    _dots_of(a, weights, ids[:n], dots)
    for i in range(n):
        own[places[i]], exact[places[i]] = dots[i], (dots[i] + bias[ids[i]]) * scale[ids[i]]


@_within
@no_type_check
def _decided(given, k, n, room, into):
    """Of n candidates those that may be among the k strongest, in order, with exact dots and scores.

    The strongest by their screened scores are computed first. They tell the error of screening, and a score that the
    k-th reaches at least; what stays below that by some errors is not looked at.
    """
    places, looked, screened, rest = room
    scores, found, own = into
    exact = rest[2]
    for place in range(n):
        screened[place] = scores[found[place]]
    sure, m = max(k, SURE), 0
    all_of_them = n <= sure or n > MANY * sure  # to know the strongest of so many takes longer than to compute them
    for place in range(n):
        looked[place] = all_of_them or _stronger(screened, place, n) < sure
        places[m] = place
        m += looked[place]
    _looked(given, found, places[:m], rest, own)
    reached, error = np.inf, 0.0
    for place in places[:m]:
        reached, error = min(reached, exact[place]), max(error, abs(exact[place] - screened[place]))
    m = 0
    for place in range(n):
        doubtful = (screened[place] + ERRORS * error >= reached) & (looked[place] == 0)
        places[m] = place
        m += doubtful
        looked[place] |= doubtful
    _looked(given, found, places[:m], rest, own)
    m = 0
    for place in range(n):
        found[m], own[m], scores[m] = found[place], own[place], exact[place]
        m += looked[place]
    return m


@_compiled
@no_type_check
def _top_of_each(product, given, k, wanted, into):
    x, weights, bias, scale = given
    ids, exact, counts = into
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        mask, found, own = np.empty(u + 8, np.uint8), np.empty(u + 8, np.int64), np.empty(u, bias.dtype)
        rest = np.empty(u, np.int64), np.empty(u, bias.dtype), np.empty(u, bias.dtype)
        room = np.empty(u, np.int64), np.empty(u, np.uint8), np.empty(u, bias.dtype), rest
        guess, rate = GUESS, RATE
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            bound = -np.inf
            if wanted < u:
                bound, guess, rate = _bound(scores, wanted, guess, rate)
            n = _collect(scores, bound, mask, found)
            n = _decided((x[row], weights, bias, scale), k, n, room, (scores, found, own))
            kept = 0
            for place in range(n):
                if scores[place] > 0 and (n <= k or _rank(scores, place, n) < k):
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
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        mask, found = np.empty(u + 8, np.uint8), np.empty(u + 8, np.int64)
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            n = _collect(scores, bounds[row], mask, found)
            ids[offsets[row] : offsets[row] + n] = found[:n]
