"""The sparse products and choices for the CPU, compiled by numba: the same functions as in `plain`.

Every loop runs over rows or units that no other thread touches, so results do not depend on the number of threads.
"""

from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float, Int
from numba import get_num_threads, set_num_threads
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels import loops
from microtome.dictionary.kernels.plain import with_spare


def _most_threads() -> int:
    """What numba was started with. Its threads start here, and with them it sets torch's number: both use OpenMP."""
    of_torch = torch.get_num_threads()
    found = get_num_threads()
    torch.set_num_threads(of_torch)
    return found


MOST_THREADS = _most_threads()


def dots(x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "n"]:
    """x[row] · weights[id] at each place."""
    found = torch.empty(len(picks), dtype=x.dtype)
    _run(loops.dots, x, weights, picks.ids, picks.offsets, found)
    return found


def mixed(values: Float[Tensor, "n"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "t d"]:
    """Σ values · weights[id] over the places of each row."""
    found = torch.empty(picks.n_rows, weights.shape[1], dtype=weights.dtype)
    _run(loops.mixed, values, weights, picks.ids, picks.offsets, found)
    return found


def gathered(values: Float[Tensor, "n"], x: Float[Tensor, "t d"], picks: Picks) -> Float[Tensor, "u d"]:
    """Σ values · x[row] over the places of each unit: the transpose of `mixed`."""
    starts, order, rows = _places_of_units(picks)
    found = torch.empty(picks.n_units, x.shape[1], dtype=x.dtype)
    _run(loops.mixed, values[order], x, rows, starts, found)
    return found


# Of choices that are still at hand: gradients of read and of write vectors both ask.
_BY_UNIT: "WeakKeyDictionary[Picks, tuple[Tensor, Tensor, Tensor]]" = WeakKeyDictionary()


def _places_of_units(picks: Picks) -> tuple[Int[Tensor, "u1"], Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Where each unit begins among places ordered by unit, and of these the numbers and the rows."""
    if picks not in _BY_UNIT:
        n = len(picks)
        starts = torch.zeros(picks.n_units + 1, dtype=torch.int64)
        order, rows = torch.empty(n, dtype=torch.int64), torch.empty(n, dtype=torch.int64)
        _run(loops.by_unit, picks.ids, picks.offsets, starts, order, rows)
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
    _run(loops.top_of_each, product, (x, weights, bias, scale), k, wanted, (ids, exact, counts))
    kept = torch.arange(k) < counts[:, None]
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    if int(offsets[-1]) == t * k:
        return Picks(ids.view(-1), offsets, u, exact.view(-1))
    return Picks(ids[kept], offsets, u, exact[kept])


def bound(scores: Float[Tensor, "n"], wanted: int) -> float:
    """What at least `wanted` of the scores reach, and not many more."""
    return _run(loops.bound_of, scores, wanted, loops.GUESS, loops.RATE)[0]


def screen(product: Tensor, bias: Float[Tensor, "u"], scale: Float[Tensor, "u"], bounds: Float[Tensor, "t"]) -> Picks:
    """Every place where (product + bias) · scale is above its row's bound."""
    counts = torch.empty(len(product), dtype=torch.int64)
    _run(loops.count_above, product, bias, scale, bounds, counts)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    ids = torch.empty(int(offsets[-1]), dtype=torch.int64)
    _run(loops.fill_above, product, bias, scale, bounds, offsets, ids)
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
