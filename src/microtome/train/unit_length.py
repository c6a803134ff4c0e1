"""Write vectors held at length 1: gradients along them are taken away, and what a step adds to them is too.

Bricken et al. 2023, "Towards Monosemanticity", appendix on training: Adam would otherwise spend its step on a
direction that is undone at once.
"""

import torch

from microtome.dictionary.dictionary import Dictionary


def freed_along(dictionary: Dictionary) -> None:
    """Takes from each write vector's gradient what lies along it."""
    with torch.no_grad():
        for units in dictionary.units:
            grad = units.W_dec.grad
            if grad is None:  # write vectors that stay as they were drawn
                continue
            along = (grad * units.W_dec).sum(1) / units.norms.square().clamp(min=1e-30)
            grad.sub_(along[:, None] * units.W_dec)


def made_unit(dictionary: Dictionary) -> None:
    """Makes each write vector of length 1 over all its sites."""
    with torch.no_grad():
        for units in dictionary.units:
            units.W_dec.div_(units.norms.clamp(min=1e-30)[:, None])
