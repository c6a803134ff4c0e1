"""The processes that do one piece of work, each a part of it. By default there is one, which does all of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch.distributed as dist

from microtome.cluster.collectives import gathered_values
from microtome.cluster.launch import processes
from microtome.cluster.mesh import Mesh, joined
from microtome.core.progress import Silent, shown_by


@runtime_checkable
class Crew(Protocol):
    """All of them call the same functions in the same order.

    Attributes:
        rank: this process's number.
        ranks: how many there are.
        leads: whether this one shows progress and writes what is written once.
    """

    @property
    def rank(self) -> int:
        """This process's number, from 0 on."""
        ...

    @property
    def ranks(self) -> int:
        """How many there are."""
        ...

    @property
    def leads(self) -> bool:
        """Whether this one shows progress and writes what is written once."""
        ...

    def gathered(self, plain: Any) -> list[Any]:
        """What each of them says: plain values, ready for JSON."""
        ...

    def wait(self) -> None:
        """Until all of them are here."""
        ...


class OneProcess:
    """Does everything itself."""

    rank = 0
    ranks = 1
    leads = True

    def gathered(self, plain: Any) -> list[Any]:
        """See `Crew.gathered`."""
        return [plain]

    def wait(self) -> None:
        """See `Crew.wait`."""


ONE_PROCESS = OneProcess()


class Processes:
    """Those of a mesh.

    Attributes:
        mesh: this process's place among them.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh

    @property
    def rank(self) -> int:
        """See `Crew.rank`."""
        return self.mesh.row_rank * self.mesh.columns + self.mesh.column_rank

    @property
    def ranks(self) -> int:
        """See `Crew.ranks`."""
        return self.mesh.rows * self.mesh.columns

    @property
    def leads(self) -> bool:
        """See `Crew.leads`."""
        return self.mesh.is_first

    def gathered(self, plain: Any) -> list[Any]:
        """See `Crew.gathered`."""
        return gathered_values(plain, self.mesh.everyone, self.mesh.device)

    def wait(self) -> None:
        """See `Crew.wait`."""
        dist.barrier(self.mesh.everyone)


def alone() -> bool:
    """Whether this process was started by itself."""
    return (dist.get_world_size() if dist.is_initialized() else processes()) == 1


@contextmanager
def crew() -> Iterator[Crew]:
    """All processes that were started together; inside, those that do not lead show no progress."""
    if alone():
        yield ONE_PROCESS
        return
    with joined() as mesh, heard(mesh):
        yield Processes(mesh)


@contextmanager
def heard(mesh: Mesh) -> Iterator[None]:
    """Inside, processes that do not lead show no progress."""
    if mesh.is_first:
        yield
        return
    with shown_by(Silent()):
        yield
