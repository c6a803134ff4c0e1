"""Shares: a dictionary whose units lie in several processes, each of which holds a range of every block's."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from microtome.core.across import Across, Alone
from microtome.dictionary.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Share:
    """Which units of a block lie here.

    Attributes:
        first: the number of the first of them in the whole block.
        units: how many.
        of: units of the whole block.
        across: the processes that hold the others.
    """

    first: int
    units: int
    of: int
    across: Across

    @property
    def alone(self) -> bool:
        """Whether there is no other process."""
        return isinstance(self.across, Alone)

    @staticmethod
    def whole(units: int) -> "Share":
        """All units of a block, in one process."""
        return Share(0, units, units, Alone())


def part_of(geometry: Geometry, shares: Sequence[Share]) -> Geometry:
    """The same geometry with the units that lie here alone."""
    blocks = tuple(replace(block, units=share.units) for block, share in zip(geometry.blocks, shares, strict=True))
    return replace(geometry, blocks=blocks)


def whole_of(geometry: Geometry, shares: Sequence[Share]) -> Geometry:
    """The geometry of all processes' units together: turns `part_of` back."""
    blocks = tuple(replace(block, units=share.of) for block, share in zip(geometry.blocks, shares, strict=True))
    return replace(geometry, blocks=blocks)
