"""The mesh: every process has a place in a table of ranks, rows (parts of a batch) × columns (parts of the units)."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from microtome.cluster.launch import processes
from microtome.core.errors import WrongUse


@dataclass(eq=False)
class Mesh:
    """This process's place among all, as long as it is not left.

    Attributes:
        ranks: torch's mesh, with the axes `rows` and `columns`.
        device: on which this process computes.
    """

    ranks: DeviceMesh
    device: torch.device

    @property
    def rows(self) -> int:
        """Into how many parts a batch is divided."""
        return self.ranks["rows"].size()

    @property
    def columns(self) -> int:
        """Into how many parts columns are divided."""
        return self.ranks["columns"].size()

    @property
    def row_rank(self) -> int:
        """Which part of a batch is this process's."""
        return self.ranks["rows"].get_local_rank()

    @property
    def column_rank(self) -> int:
        """Which part of the columns is this process's."""
        return self.ranks["columns"].get_local_rank()

    @property
    def same_columns(self) -> dist.ProcessGroup:
        """The processes that hold the same columns and other parts of the batch."""
        return self.ranks["rows"].get_group()

    @property
    def same_rows(self) -> dist.ProcessGroup:
        """The processes that hold the same part of the batch and other columns."""
        return self.ranks["columns"].get_group()

    @property
    def everyone(self) -> dist.ProcessGroup:
        """All processes, ordered by rows, then columns."""
        found = dist.group.WORLD
        assert found is not None
        return found

    @property
    def is_first(self) -> bool:
        """Whether this process speaks for all: it shows progress and writes what is written once."""
        return self.row_rank == self.column_rank == 0

    def leave(self) -> None:
        """Lets go of torch's groups, whoever still holds this mesh.

        Their threads end with the last reference to them. One that outlives the interpreter, with a tensor of Python's
        in its hands, aborts the whole process after its work is done.
        """
        del self.ranks


@contextmanager
def joined(columns: int | None = 1, device: str | None = None) -> Iterator[Mesh]:
    """Takes this process's place among those that torchrun started; alone where there is no torchrun.

    Args:
        columns: into how many parts columns are divided, None for as many as there are processes; the batch is
            divided over what remains.
        device: on which processes compute; None for a GPU each where there are some, else the CPU.

    Raises:
        WrongUse: the number of processes is no multiple of it.
    """
    ours = not dist.is_initialized()
    place = _device(device)
    with ExitStack() as stack:
        if ours:
            _join(place)
            stack.callback(dist.destroy_process_group)
        mesh = _mesh(columns, place)
        if ours:
            stack.callback(mesh.leave)
        yield mesh


def _join(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if processes() > 1:
        dist.init_process_group(backend)
    else:
        store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)


def _mesh(columns: int | None, device: torch.device) -> Mesh:
    ranks = dist.get_world_size()
    columns = ranks if columns is None else columns
    check_columns(columns, ranks)
    shape = (ranks // columns, columns)
    return Mesh(init_device_mesh(device.type, shape, mesh_dim_names=("rows", "columns")), device)


def check_columns(columns: int, ranks: int) -> None:
    """Whether so many processes can be divided so.

    Raises:
        WrongUse: they cannot.
    """
    if columns < 1 or ranks % columns:
        raise WrongUse(
            f"divide {ranks} processes into {columns} columns",
            found=f"{ranks} is no multiple of {columns}",
            do="start a multiple of it with `torchrun --nproc-per-node`, or divide into fewer columns",
        )


def _device(asked: str | None) -> torch.device:
    """On CUDA each process of a machine takes a GPU of its own, unless one is asked for by number."""
    found = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
    if found.type != "cuda" or found.index is not None:
        return found
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
