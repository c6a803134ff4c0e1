"""Where training starts: random write vectors, and read vectors that agree with them.

A unit's vectors follow from the seed and the unit's number alone, whichever process draws them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.architecture import Architecture
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.share import Share, part_of

AT_ONCE = 1024  # units that are drawn together
WRITES, READS = 0, 1


def untrained(
    geometry: Geometry,
    architecture: Architecture,
    conventions: Conventions | None = None,
    *,
    seed: int,
    length: float = 0.1,
    shares: Sequence[Share] | None = None,
) -> Dictionary:
    """A dictionary of random write vectors of one length, over all sites that a unit writes.

    Where units write what they read, they read what they write; elsewhere read vectors are random too, of length 1.
    Biases are zero. A skip starts at zero.

    Args:
        geometry, architecture, conventions: of the dictionary.
        seed: of the vectors.
        length: of the write vectors.
        shares: of each block the units that lie in this process; None for all of them.
    """
    shares = [Share.whole(block.units) for block in geometry.blocks] if shares is None else shares
    made = Dictionary(part_of(geometry, shares), architecture, conventions)
    with torch.no_grad():
        for number, (units, share) in enumerate(zip(made.units, shares, strict=True)):
            units.share = share
            units.W_dec.copy_(_normal(share, units.W_dec.shape[1], (seed, number, WRITES)))
            units.W_dec.mul_(length / units.norms[:, None])
            if units.block.reads == units.block.writes and geometry.autoencodes:
                units.W_enc.copy_(units.W_dec)
            else:
                units.W_enc.copy_(_normal(share, units.W_enc.shape[1], (seed, number, READS)))
                units.W_enc.div_(torch.linalg.vector_norm(units.W_enc, dim=1, keepdim=True))
    return made


def _normal(share: Share, width: int, seed: tuple[int, ...]) -> Float[Tensor, "u d"]:
    """Rows of a large random array, drawn a chunk at a time, each from a seed of its own."""
    end = share.first + share.units
    rows = []
    for chunk in range(share.first // AT_ONCE, -(-end // AT_ONCE)):
        own = int(np.random.SeedSequence((*seed, chunk)).generate_state(1, np.uint64)[0])
        drawn = torch.randn(AT_ONCE, width, generator=torch.Generator().manual_seed(own))
        start = chunk * AT_ONCE
        rows.append(drawn[max(share.first - start, 0) : end - start])
    return torch.cat(rows)
