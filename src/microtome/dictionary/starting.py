"""Where training starts: random write vectors, and read vectors that agree with them."""

import torch

from microtome.dictionary.architecture import Architecture
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Geometry


def untrained(
    geometry: Geometry,
    architecture: Architecture,
    conventions: Conventions | None = None,
    *,
    seed: int,
    length: float = 0.1,
) -> Dictionary:
    """A dictionary of random write vectors of one length, over all sites that a unit writes.

    Where units write what they read, they read what they write; elsewhere read vectors are random too, of length 1.
    Biases are zero. A skip starts at zero.

    Args:
        geometry, architecture, conventions: of the dictionary.
        seed: of the vectors.
        length: of the write vectors.
    """
    made = Dictionary(geometry, architecture, conventions)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for units in made.units:
            units.W_dec.normal_(generator=random)
            units.W_dec.mul_(length / units.norms[:, None])
            if units.block.reads == units.block.writes and geometry.autoencodes:
                units.W_enc.copy_(units.W_dec)
            else:
                units.W_enc.normal_(generator=random)
                units.W_enc.div_(torch.linalg.vector_norm(units.W_enc, dim=1, keepdim=True))
    return made
