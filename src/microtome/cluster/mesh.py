"""The mesh: every process has a place in a table of ranks, rows (parts of a batch) × columns (parts of the units)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from microtome.core.errors import WrongUse


@dataclass(frozen=True, eq=False)
class Mesh:
    """This process's place among all.

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


@contextmanager
def joined(columns: int = 1) -> Iterator[Mesh]:
    """Takes this process's place among those that torchrun started; alone where there is no torchrun.

    Args:
        columns: into how many parts columns are divided; the batch is divided over what remains.

    Raises:
        WrongUse: the number of processes is no multiple of it.
    """
    ours = not dist.is_initialized()
    device = _device()
    if ours:
        _join(device)
    try:
        yield _mesh(columns, device)
    finally:
        if ours:
            dist.destroy_process_group()


def _join(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    if "RANK" in os.environ:  # torchrun's sign
        dist.init_process_group(backend)
    else:
        store = dist.HashStore()  # pyright: ignore[reportPrivateImportUsage]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)


def _mesh(columns: int, device: torch.device) -> Mesh:
    processes = dist.get_world_size()
    if columns < 1 or processes % columns:
        raise WrongUse(
            f"divide {processes} processes into {columns} columns",
            found=f"{processes} is no multiple of {columns}",
            do="start a multiple of it with `torchrun --nproc-per-node`, or divide into fewer columns",
        )
    shape = (processes // columns, columns)
    return Mesh(init_device_mesh(device.type, shape, mesh_dim_names=("rows", "columns")), device)


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
