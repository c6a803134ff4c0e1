"""Dictionaries of given directions at one site: signed units that read and write along them."""

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.architectures.linear import Linear
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import sae


def of_directions(
    site: str,
    directions: Float[Tensor, "u d"],
    k: int | None = None,
    *,
    mean: Float[Tensor, "d"] | None = None,
) -> Dictionary:
    """Units that read each of these directions and write along it as much as they read.

    Orthonormal directions so reconstruct what lies in their span.

    Args:
        site: which they read and write.
        directions: any length; a unit writes its direction divided by its squared length, so that what it writes
            reads as its activation again.
        k: active units a token, the largest by activation × length written; None for all.
        mean: taken off first, and what is written without any unit.
    """
    units, d = directions.shape
    made = Dictionary(sae(site, d, units), Linear(k), Conventions(centred=mean is not None))
    made.to(device=directions.device, dtype=directions.dtype)
    with torch.no_grad():
        for block in made.units:
            block.W_enc.copy_(directions)
            block.W_dec.copy_(directions / directions.square().sum(1, keepdim=True).clamp(min=1e-30))
        if mean is not None:
            made.b_dec.copy_(mean)
    return made
