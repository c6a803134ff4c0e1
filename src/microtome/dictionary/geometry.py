"""Geometry: which sites a dictionary's units read and write. This alone makes an SAE, a transcoder, a CLT."""

from dataclasses import dataclass
from itertools import pairwise

from microtome.core.config import Config
from microtome.core.errors import WrongUse


@dataclass(frozen=True)
class Block(Config):
    """Units that share their reads and writes.

    Attributes:
        reads, writes: numbers of sites in the geometry's lists; one unit reads and writes all of them.
        units: how many.
    """

    reads: tuple[int, ...]
    writes: tuple[int, ...]
    units: int


@dataclass(frozen=True)
class Geometry(Config):
    """Where a dictionary stands in a model.

    Attributes:
        reads, writes: sites; for a comparison of two models `base/resid.12` and `tuned/resid.12`.
        d_in, d_out: widths of what is read and written.
        blocks: units by what they read and write.
    """

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    d_in: int
    d_out: int
    blocks: tuple[Block, ...]

    def __post_init__(self) -> None:
        sizes = {"d_in": self.d_in, "d_out": self.d_out, **{f"units of block {i}": b.units for i, b in self.numbered}}
        for name, size in sizes.items():
            if size < 1:
                raise self._refusal(f"{name} = {size}", "give at least 1")
        if not self.blocks:
            raise self._refusal("no units", "give at least one block")
        for i, block in self.numbered:
            if not (block.reads and block.writes):
                raise self._refusal(f"block {i}, which reads or writes nothing", "name its sites")
            if max(block.reads) >= len(self.reads) or max(block.writes) >= len(self.writes):
                raise self._refusal(f"block {i}, which names a site beyond the lists", "number sites from 0")

    @property
    def numbered(self) -> tuple[tuple[int, Block], ...]:
        """Blocks with their numbers."""
        return tuple(enumerate(self.blocks))

    @property
    def n_units(self) -> int:
        """Units of all blocks."""
        return sum(block.units for block in self.blocks)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first unit of each block, and at the end the number of units."""
        found = [0]
        for block in self.blocks:
            found.append(found[-1] + block.units)
        return tuple(found)

    @property
    def autoencodes(self) -> bool:
        """Whether it writes what it reads."""
        return self.reads == self.writes

    @property
    def sites(self) -> tuple[str, ...]:
        """Every site that it touches, once."""
        return tuple(dict.fromkeys((*self.reads, *self.writes)))

    @property
    def kind(self) -> str:
        """Its name in the field: `sae`, `transcoder`, `crosscoder`, `cross-layer transcoder`, `set of transcoders`."""
        if len(self.blocks) > 1:
            if all(block.reads == block.writes for block in self.blocks):
                return "set of SAEs" if self.autoencodes else "set of transcoders"
            return "cross-layer transcoder" if self._reaches_forward() else "set of blocks"
        if self.autoencodes:
            return "sae" if len(self.reads) == 1 else "crosscoder"
        return "transcoder" if len(self.reads) == len(self.writes) == 1 else "many-site transcoder"

    def _reaches_forward(self) -> bool:
        ends = [block.writes for block in self.blocks]
        return all(set(later) < set(earlier) for earlier, later in pairwise(ends))

    def _refusal(self, found: str, do: str) -> WrongUse:
        return WrongUse("place a dictionary", found=found, do=do)


def sae(site: str, d: int, units: int) -> Geometry:
    """Units that read and write one site."""
    return transcoder(site, site, d, d, units)


def transcoder(read: str, write: str, d_in: int, d_out: int, units: int) -> Geometry:
    """Units that read one site and write another, such as an MLP's input and output."""
    return Geometry((read,), (write,), d_in, d_out, (Block((0,), (0,), units),))


def crosscoder(sites: tuple[str, ...], d: int, units: int) -> Geometry:
    """Units each of which reads and writes all sites (Lindsey et al. 2024, "Sparse Crosscoders")."""
    every = tuple(range(len(sites)))
    return Geometry(sites, sites, d, d, (Block(every, every, units),))


def cross_layer(reads: tuple[str, ...], writes: tuple[str, ...], d_in: int, d_out: int, units: int) -> Geometry:
    """A block a layer, which reads that layer and writes it and every later one (Ameisen et al. 2025).

    Args:
        reads, writes: sites of the layers, in order, as many of each.
        d_in, d_out: their widths.
        units: of each layer.
    """
    _pair("place a cross-layer transcoder", reads, writes)
    blocks = tuple(Block((i,), tuple(range(i, len(writes))), units) for i in range(len(reads)))
    return Geometry(reads, writes, d_in, d_out, blocks)


def layer_by_layer(reads: tuple[str, ...], writes: tuple[str, ...], d_in: int, d_out: int, units: int) -> Geometry:
    """A transcoder a layer: a block for each, which reads that layer and writes that layer.

    Args:
        reads, writes: sites of the layers, in order, as many of each.
        d_in, d_out: their widths.
        units: of each layer.
    """
    _pair("place a transcoder at every layer", reads, writes)
    return Geometry(reads, writes, d_in, d_out, tuple(Block((i,), (i,), units) for i in range(len(reads))))


def _pair(what: str, reads: tuple[str, ...], writes: tuple[str, ...]) -> None:
    if len(reads) != len(writes):
        raise WrongUse(what, found=f"{len(reads)} reads and {len(writes)} writes", do="pair them")
