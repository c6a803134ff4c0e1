"""Shards: files of rows, written whole, read where they lie on the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from microtome.activations.coding import CODINGS, Coded, coded, room, row_bytes
from microtome.activations.manifest import ShardRecord, settled
from microtome.activations.rows import Rows
from microtome.core import fingerprint
from microtome.core.errors import StoreCorrupt

FILES = "shard-*.safetensors"
TOLD = {"document": torch.int64, "position": torch.int32, "token": torch.int32, "special": torch.bool}
TOLD_BYTES = sum(dtype.itemsize for dtype in TOLD.values())
DTYPES = {torch.bfloat16: "BF16", torch.float32: "F32", torch.float64: "F64", torch.int8: "I8", torch.int64: "I64",
          torch.int32: "I32", torch.bool: "BOOL"}  # fmt: skip


def rows_of_shard(sites: Mapping[str, int], dtype: str, size: int) -> int:
    """How many rows make a shard of about this size; at least one."""
    return max(1, size // (TOLD_BYTES + sum(row_bytes(width, dtype) + 4 for width in sites.values())))


def layout(sites: Mapping[str, int], dtype: str, rows: int) -> dict[str, tuple[str, list[int]]]:
    """Every tensor of a shard, with its dtype and shape."""
    found = {name: (DTYPES[kind], [rows]) for name, kind in TOLD.items()}
    for site, width in sites.items():
        found[f"values {site}"] = (DTYPES[CODINGS[dtype]], [rows, width])
        found[f"square {site}"] = ("F32", [rows])
        found[f"sum {site}"] = ("F64", [width])
        if dtype == "int8":
            found[f"scale {site}"] = ("F32", [rows])
    return found


class Draft:
    """A shard in memory, filled row by row, then written whole.

    Args:
        sites: their widths.
        dtype: of the coding.
        capacity: rows of a full shard.
    """

    def __init__(self, sites: Mapping[str, int], dtype: str, capacity: int):
        self.capacity = capacity
        self.rows = 0
        self._dtype = dtype
        self._values = {site: room(capacity, width, dtype) for site, width in sites.items()}
        self._squares = {site: torch.empty(capacity) for site in sites}
        self._told = {name: torch.empty(capacity, dtype=kind) for name, kind in TOLD.items()}

    def add(self, rows: Rows) -> None:
        """Puts rows behind those it has; there must be room. ‖x‖² is that of the rows as they are kept."""
        at = slice(self.rows, self.rows + len(rows))
        for site, values in rows.values.items():
            kept = coded(values.cpu(), self._dtype)
            self._values[site].put(at, kept)
            self._squares[site][at] = kept.decoded().square().sum(1)
        for name, tensor in self._told.items():
            tensor[at] = vars(rows)[name].to(tensor.dtype)
        self.rows = at.stop

    def write(self, folder: Path, number: int) -> ShardRecord:
        """Writes what it holds as a shard, forced to the disk, and begins anew."""
        tensors: dict[str, Tensor] = {name: tensor[: self.rows] for name, tensor in self._told.items()}
        for site, values in self._values.items():
            tensors[f"values {site}"] = values.values[: self.rows]
            tensors[f"square {site}"] = self._squares[site][: self.rows]
            tensors[f"sum {site}"] = self._sum(values)
            if values.scale is not None:
                tensors[f"scale {site}"] = values.scale[: self.rows]
        name = f"shard-{number:05}.safetensors"
        with settled(folder / name) as temporary:
            save_file(tensors, temporary)
            size = temporary.stat().st_size
            digest = fingerprint.of_file(temporary)
        sums = {site: float(one[: self.rows].double().sum()) for site, one in self._squares.items()}
        written = self.rows
        self.rows = 0
        return ShardRecord(name, written, size, digest, sums)

    def _sum(self, values: Coded) -> Tensor:
        """Σx, a part at a time: float64 of a whole shard would take four times its memory."""
        total = torch.zeros(values.values.shape[1], dtype=torch.float64)
        for at in range(0, self.rows, 8192):
            part = slice(at, min(at + 8192, self.rows))
            scale = None if values.scale is None else values.scale[part]
            total += Coded(values.values[part], scale).decoded().double().sum(0)
        return total


@dataclass(frozen=True)
class Shard:
    """A shard on the disk. Its tensors are maps of the file: only what is read comes into memory.

    Attributes:
        folder: of the store.
        record: what the manifest says of it.
        sites: their widths.
        dtype: of the coding.
    """

    folder: Path
    record: ShardRecord
    sites: Mapping[str, int]
    dtype: str

    @property
    def path(self) -> Path:
        """Of the file."""
        return self.folder / self.record.name

    def check(self) -> None:
        """Compares its size and its header with the manifest; quick, whatever its size.

        Raises:
            StoreCorrupt: it is gone, cut, or something else.
        """
        if not self.path.is_file():
            raise self._corrupt("no such file")
        if (size := self.path.stat().st_size) != self.record.bytes:
            raise self._corrupt(f"{size:,} bytes instead of {self.record.bytes:,}")
        file = self._file
        found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        for name, (dtype, shape) in layout(self.sites, self.dtype, self.record.rows).items():
            if name not in found or (found[name].get_dtype(), found[name].get_shape()) != (dtype, shape):
                raise self._corrupt(f"no tensor {name!r} of {dtype} and shape {shape}")

    def check_bytes(self) -> None:
        """Compares every byte with the checksum in the manifest.

        Raises:
            StoreCorrupt: they differ.
        """
        self.check()
        if (digest := fingerprint.of_file(self.path)) != self.record.sha256:
            raise self._corrupt(f"checksum {digest[:12]}… instead of {self.record.sha256[:12]}…")

    def tensor(self, name: str) -> Tensor:
        """One tensor, a map of the file."""
        return self._file.get_tensor(name)

    def coded(self, site: str) -> Coded:
        """All rows of a site as they are kept, a map of the file."""
        return Coded(self.tensor(f"values {site}"), self.tensor(f"scale {site}") if self.dtype == "int8" else None)

    def take(self, site: str, rows: Int[Tensor, "n"]) -> Coded:
        """Some rows of a site, copied into memory."""
        return self.coded(site).take(rows)

    @cached_property
    def _file(self) -> Any:
        try:
            return safe_open(self.path, framework="pt")
        except (SafetensorError, OSError) as error:
            raise self._corrupt(f"a file that cannot be read ({error})") from error

    def _corrupt(self, found: str) -> StoreCorrupt:
        return StoreCorrupt(
            f"read the shard {self.path}",
            found=found,
            do="restore the file from a copy, or remove the store's folder and harvest it again",
        )
