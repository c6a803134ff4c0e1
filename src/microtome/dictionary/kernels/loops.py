"""Loops that numba compiles for the CPU: sums over chosen places, and the choice of the strongest of each row.

All in one file, on whose change compiled code that is kept on the disk is made anew; of other files it does not know.
"""

import math
from collections.abc import Callable
from typing import Any, no_type_check

import numpy as np
from numba import njit, prange

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


def _compiled(function: Callable[..., Any]) -> Any:
    return njit(parallel=True, cache=True, fastmath=FAST, nogil=True)(function)


def _within(function: Callable[..., Any]) -> Any:
    return njit(cache=True, fastmath=FAST, nogil=True)(function)


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
def dots(x, weights, ids, offsets, found):
    """x[row] · weights[id] at each place."""
    for row in prange(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        _dots_of(x[row], weights, ids[start:end], found[start:end])


@_compiled
@no_type_check
def mixed(values, what, ids, offsets, found):
    """Σ values · what[id] over the places of each row."""
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
def by_unit(ids, offsets, starts, order, rows):
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
def bound_of(scores, wanted, guess, rate):
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
def top_of_each(product, given, k, wanted, into):
    """The k strongest units of each row, with exact dots, and how many of them are above zero."""
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
            if not scores.any():  # padding: nothing is above zero, and equal scores take fifty times as long to choose
                counts[row] = 0
                continue
            bound = -np.inf
            if wanted < u:
                bound, guess, rate = bound_of(scores, wanted, guess, rate)
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
def count_above(product, bias, scale, bounds, counts):
    """How many scores of each row are above its bound."""
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            counts[row] = _count(scores, bounds[row])


@_compiled
@no_type_check
def fill_above(product, bias, scale, bounds, offsets, ids):
    """Which ones, each row's from its offset on."""
    t, u = product.shape
    for block in prange((t + HEIGHT - 1) // HEIGHT):
        bits, scores = np.empty(u, np.int32), np.empty(u, bias.dtype)
        mask, found = np.empty(u + 8, np.uint8), np.empty(u + 8, np.int64)
        for row in range(block * HEIGHT, min(t, (block + 1) * HEIGHT)):
            _scores(product, row, bias, scale, bits, scores)
            n = _collect(scores, bounds[row], mask, found)
            ids[offsets[row] : offsets[row] + n] = found[:n]
