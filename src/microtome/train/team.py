"""The processes that train together: what a step, a reading and a checkpoint ask of the others.

By default there are no others, and every answer is what was given. `train.sharding` says what it is with others.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from microtome.cluster.crew import Crew, OneProcess, alone, heard
from microtome.cluster.launch import processes
from microtome.cluster.mesh import check_columns, joined
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.share import Share
from microtome.train import checkpoint, resharding, sharding


@runtime_checkable
class Team(Crew, Protocol):
    """A crew whose members each hold a share of the units, and learn from a part of every batch."""

    def device(self, asked: str | None) -> torch.device:
        """On which this process computes."""
        ...

    def shares(self, geometry: Geometry) -> tuple[Share, ...] | None:
        """Which units of each block lie here; None for all of them."""
        ...

    def part(self, rows: int) -> slice:
        """Which rows of a batch, of which all draw the same, this process learns from."""
        ...

    def average(self, dictionary: Dictionary) -> None:
        """Puts the mean over the parts of the batch in the place of each gradient."""
        ...

    def clipped(self, dictionary: Dictionary, limit: float) -> Float[Tensor, ""]:
        """Cuts gradients to a length over all units, and returns what it was before."""
        ...

    def summed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Σ over the parts of the batch, in float64."""
        ...

    def all_rows(self, x: Shaped[Tensor, "t *_"]) -> Shaped[Tensor, "n *_"]:
        """A number for each row of this part of the batch: those of the whole batch, in order."""
        ...

    def all_units(self, x: Shaped[Tensor, "u"]) -> Shaped[Tensor, "n"]:
        """A number for each of some units here: those of everyone's."""
        ...

    def place(self, n: int) -> tuple[int, int]:
        """Where n units that lie here stand among everyone's, and how many these are."""
        ...

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The largest that anyone gives, place by place."""
        ...

    def write(self, folder: Path, state: dict[str, Any], shares: Sequence[Sequence[Share]]) -> None:
        """Writes a checkpoint in place of the one before.

        Args:
            folder: of the run.
            state: all that the rest of the run depends on.
            shares: of each dictionary, which units of each block lie here.
        """
        ...

    def whole(self, dictionary: Dictionary, shares: Sequence[Share]) -> Dictionary:
        """The dictionary of all units, of which this one holds the units of the shares."""
        ...


class Alone(OneProcess):
    """One process that holds all units and learns from whole batches."""

    def device(self, asked: str | None) -> torch.device:
        """See `Team.device`."""
        return torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))

    def shares(self, geometry: Geometry) -> tuple[Share, ...] | None:
        """See `Team.shares`."""
        return None

    def part(self, rows: int) -> slice:
        """See `Team.part`."""
        return slice(0, rows)

    def average(self, dictionary: Dictionary) -> None:
        """See `Team.average`."""

    def clipped(self, dictionary: Dictionary, limit: float) -> Float[Tensor, ""]:
        """See `Team.clipped`."""
        return torch.nn.utils.clip_grad_norm_(dictionary.parameters(), limit)

    def summed(self, values: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """See `Team.summed`."""
        return values

    def all_rows(self, x: Shaped[Tensor, "t *_"]) -> Shaped[Tensor, "n *_"]:
        """See `Team.all_rows`."""
        return x

    def all_units(self, x: Shaped[Tensor, "u"]) -> Shaped[Tensor, "n"]:
        """See `Team.all_units`."""
        return x

    def place(self, n: int) -> tuple[int, int]:
        """See `Team.place`."""
        return 0, n

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """See `Team.largest`."""
        return list(numbers)

    def write(self, folder: Path, state: dict[str, Any], shares: Sequence[Sequence[Share]]) -> None:
        """See `Team.write`."""
        checkpoint.write(folder, state)
        resharding.remove_sharded(folder)

    def whole(self, dictionary: Dictionary, shares: Sequence[Share]) -> Dictionary:
        """See `Team.whole`."""
        return dictionary


ALONE = Alone()


@contextmanager
def team(columns: int | None, device: str | None) -> Iterator[Team]:
    """All processes that were started together; inside, those that do not lead show no progress.

    Args:
        columns: over how many of them units are divided, None for all; the batch is divided over what remains.
        device: see `RunConfig`.

    Raises:
        WrongUse: the number of processes is no multiple of it.
    """
    if alone():
        check_columns(1 if columns is None else columns, processes())
        yield ALONE
        return
    with joined(columns, device) as mesh, heard(mesh):
        yield sharding.Together(mesh)
