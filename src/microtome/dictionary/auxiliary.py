"""Bringing dead units back: they are trained to explain what the living ones left."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.across import added_up
from microtome.dictionary.architecture import Seen, squared_error
from microtome.dictionary.choosing import top_of_each
from microtome.dictionary.sparse import decoded, values

AUX_WEIGHT = 1 / 32

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


def aux_k(dictionary: "Dictionary", seen: Seen, k: int) -> dict[str, Float[Tensor, ""]]:
    """Squared error of the residual against what the k strongest dead units of each token say of it.

    Only dead units get gradients from it. No term where no unit is dead, or where k is 0.
    Gao et al. 2024, arXiv:2406.04093, A.2; their coefficient is 1/32.

    Args:
        dictionary: what is trained.
        seen: a batch, what the dictionary made of it, and which units are dead.
        k: how many dead units of each block a token takes at most.
    """
    written: list[Tensor] = []
    for (units, read, shift), gone in zip(dictionary.given(seen.x), seen.moment.dead, strict=True):
        if not k or not units.share.across.any(gone):
            continue
        held = None if shift is None else shift.detach()
        which = gone.nonzero()[:, 0]
        # A little dictionary of their own: so many of its units are active that dense products may be quicker.
        reads, biases, writes = (p.index_select(0, which) for p in (units.W_enc, units.b_enc, units.W_dec))
        with torch.no_grad():
            picks = top_of_each(read, reads, biases, held, k, share=units.share)
        active = values(read, reads, biases, held, picks)
        written.append(units.spread(decoded(active, writes, picks), len(dictionary.writes)))
    if not written:
        return {}
    return {"aux": AUX_WEIGHT * squared_error(added_up(dictionary.across, written), (seen.y - seen.y_hat).detach())}
