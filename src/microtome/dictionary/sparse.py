"""The two sparse products that every dictionary is made of, with their gradients.

`values` reads (what chosen units get), `decoded` writes (what active units say). Each one's gradients are the
other products: nothing is ever computed for a unit that was not chosen. Where more than `DENSE` of all places
were chosen, dense products are quicker and take their place.
"""

from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.codes import Picks
from microtome.dictionary.kernels import compiled, plain

# Share of chosen places from which on the dense products are quicker.
DENSE = 0.05


def values(
    x: Float[Tensor, "t d"],
    weights: Float[Tensor, "u d"],
    bias: Float[Tensor, "u"],
    shift: Float[Tensor, "d"] | None,
    picks: Picks,
) -> Float[Tensor, "n"]:
    """(x − shift) · weights[u] + bias[u] at each chosen place; x is data and gets no gradient."""
    found = _Values.apply(x, weights, bias, shift, picks)
    assert isinstance(found, Tensor)
    return found


def decoded(active: Float[Tensor, "n"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "t d"]:
    """Σ active · weights[u] over the chosen places of each row."""
    found = _Decoded.apply(active, weights, picks)
    assert isinstance(found, Tensor)
    return found


class _Values(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, bias: Tensor, shift: Tensor | None, picks: Picks) -> Tensor:
        centred = x if shift is None else x - shift
        ctx.save_for_backward(centred, weights)
        ctx.picks = picks
        known = dots(centred, weights, picks) if picks.dots is None else picks.dots
        return known + bias[picks.ids]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (centred, weights), picks = grads, ctx.saved_tensors, ctx.picks
        for_bias = torch.zeros(picks.n_units, dtype=grad.dtype, device=grad.device).index_add_(0, picks.ids, grad)
        for_weights = _gathered(grad, centred, picks) if ctx.needs_input_grad[1] else None
        for_shift = -(for_bias @ weights) if ctx.needs_input_grad[3] else None  # Σ over tokens and units
        return None, for_weights, for_bias, for_shift, None


class _Decoded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, active: Tensor, weights: Tensor, picks: Picks) -> Tensor:
        ctx.save_for_backward(active, weights)
        ctx.picks = picks
        if _dense(picks):
            return _spread(active, picks) @ weights
        return kernels_for(active).mixed(active, weights, picks)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,), (active, weights), picks = grads, ctx.saved_tensors, ctx.picks
        grad = grad.contiguous()
        for_active = dots(grad, weights, picks) if ctx.needs_input_grad[0] else None
        for_weights = _gathered(active, grad, picks) if ctx.needs_input_grad[1] else None
        return for_active, for_weights, None


def dots(x: Float[Tensor, "t d"], weights: Float[Tensor, "u d"], picks: Picks) -> Float[Tensor, "n"]:
    """x[row] · weights[unit] at each chosen place."""
    if _dense(picks):
        return (x @ weights.T)[picks.rows, picks.ids]
    return kernels_for(x).dots(x, weights, picks)


def _gathered(active: Tensor, x: Tensor, picks: Picks) -> Tensor:
    if _dense(picks):
        return _spread(active, picks).T @ x
    return kernels_for(x).gathered(active, x, picks)


def _spread(active: Tensor, picks: Picks) -> Tensor:
    full = active.new_zeros(picks.n_rows, picks.n_units)
    full[picks.rows, picks.ids] = active
    return full


def _dense(picks: Picks) -> bool:
    return len(picks) > DENSE * picks.n_rows * picks.n_units


def kernels_for(x: Tensor) -> ModuleType:
    """The products for the device on which a tensor lies; compiled ones are for float32, what is trained in."""
    return compiled if x.device.type == "cpu" and x.dtype == torch.float32 else plain
