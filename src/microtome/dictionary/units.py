"""A block of units: their read vectors, write vectors and biases."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microtome.dictionary.codes import Picks
from microtome.dictionary.geometry import Block
from microtome.dictionary.share import Share
from microtome.dictionary.sparse import decoded


class Units(nn.Module):
    """Units that share their reads and writes. Sites lie side by side: r·d_in numbers in, w·d_out out.

    Both matrices have a row a unit, so that what belongs to an active unit lies together in memory.

    Attributes:
        W_enc: read vectors `[u, r·d_in]`.
        b_enc: their biases `[u]`.
        W_dec: write vectors `[u, w·d_out]`.
        share: which units of the block these are, where the others lie in other processes.
    """

    def __init__(self, block: Block, d_in: int, d_out: int, extras: dict[str, Float[Tensor, "..."]]):
        super().__init__()
        self.block = block
        self.share = Share.whole(block.units)
        self.W_enc = nn.Parameter(torch.zeros(block.units, len(block.reads) * d_in))
        self.b_enc = nn.Parameter(torch.zeros(block.units))
        self.W_dec = nn.Parameter(torch.zeros(block.units, len(block.writes) * d_out))
        self.extras = tuple(extras)
        for name, start in extras.items():
            self.register_parameter(name, nn.Parameter(start, requires_grad=start.ndim > 0))

    def extra(self, name: str) -> Tensor:
        """A parameter that the architecture added, such as its thresholds."""
        return self.get_parameter(name)

    @property
    def norms(self) -> Float[Tensor, "u"]:
        """Length of what one unit of activation writes, over all the unit's writes."""
        return torch.linalg.vector_norm(self.W_dec, dim=1)

    def read(self, x: Float[Tensor, "t r d"]) -> Float[Tensor, "t rd"]:
        """What the block reads of the dictionary's sites, side by side."""
        reads = self.block.reads
        chosen = x if len(reads) == x.shape[1] else x[:, list(reads)]
        return chosen.flatten(1)

    def written(self, active: Float[Tensor, "n"], picks: Picks, n_writes: int) -> Float[Tensor, "t w d"]:
        """What active units write, at every site of the dictionary: zeros where the block does not write."""
        return self.spread(decoded(active, self.W_dec, picks), n_writes)

    def spread(self, own: Float[Tensor, "t wd"], n_writes: int) -> Float[Tensor, "t n d"]:
        """What the block writes, at its places among all sites that the dictionary writes."""
        writes = self.block.writes
        own = own.unflatten(1, (len(writes), -1))
        if len(writes) == n_writes:
            return own
        full = own.new_zeros(len(own), n_writes, own.shape[2])
        return full.index_copy(1, torch.tensor(writes, device=own.device), own)
