"""Bringing dead units back: they are trained to explain what the living ones left."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.architecture import Seen, squared_error
from microtome.dictionary.choosing import top_of_each
from microtome.dictionary.codes import Picks
from microtome.dictionary.sparse import values

AUX_WEIGHT = 1 / 32

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary, Written


def aux_k(dictionary: "Dictionary", seen: Seen, k: int) -> dict[str, Float[Tensor, ""]]:
    """Squared error of the residual against what the k strongest dead units of each token say of it.

    Only dead units get gradients from it. No term where no unit is dead, or where k is 0.
    Gao et al. 2024, arXiv:2406.04093, A.2; their coefficient is 1/32.

    Args:
        dictionary: what is trained.
        seen: a batch, what the dictionary made of it, and which units are dead.
        k: how many dead units of each block a token takes at most.
    """
    parts: list[Written] = []
    for (units, read, shift), gone in zip(dictionary.given(seen.x), seen.moment.dead, strict=True):
        if not k or not units.share.across.any(gone):
            continue
        held = None if shift is None else shift.detach()
        with torch.no_grad():
            which = gone.nonzero()[:, 0]
            chosen = top_of_each(read, units.W_enc[which], units.b_enc[which], held, k, share=units.share)
            picks = Picks(which[chosen.ids], chosen.offsets, len(gone), chosen.dots)
        parts.append((units, picks, values(read, units.W_enc, units.b_enc, held, picks)))
    if not parts:
        return {}
    return {"aux": AUX_WEIGHT * squared_error(dictionary.by_units(parts), (seen.y - seen.y_hat).detach())}
