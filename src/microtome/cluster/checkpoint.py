"""Checkpoints of tensors whose rows are divided over ranks: saved by so many, read by any other number.

A folder of safetensors files, one a rank, and a manifest that says which rows lie where. Each checkpoint has file names
of its own, and the manifest is replaced last: a reader finds the old checkpoint or the new one, whole.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from microtome.cluster.mesh import Mesh
from microtome.core.artefact import RunCard, read_artefact, write_json, written_whole
from microtome.core.config import Config
from microtome.core.errors import FormatError

KIND = "checkpoint"
FORMAT = 1
NAME = "checkpoint.json"


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a tensor that no process holds whole.

    Attributes:
        here: those that this process holds.
        first: the number of the first of them.
    """

    here: Tensor
    first: int


@dataclass(frozen=True)
class Piece(Config):
    """Where some rows of a tensor lie: `rows` from `first` on, in `file`."""

    file: str
    first: int
    rows: int


def save(
    folder: str | Path,
    name: str,
    mesh: Mesh,
    *,
    divided: Mapping[str, Rows],
    alike: Mapping[str, Tensor],
    values: Mapping[str, Any],
    card: RunCard,
) -> Path:
    """Writes a checkpoint in place of the one before; all ranks call it. The folder is seen by all of them.

    Args:
        folder: of the run's checkpoints.
        name: of this one, such as `step-001200`; another than that of the one before.
        mesh: who saves. Of processes with the same columns the first writes.
        divided: tensors of which each rank holds some rows.
        alike: tensors that are the same on all ranks.
        values: plain values that are the same on all ranks.
        card: how it was made.
    """
    folder = Path(folder)
    file = f"{name}.{mesh.column_rank}-of-{mesh.columns}.safetensors"
    if mesh.row_rank == 0:
        held = {name: rows.here for name, rows in divided.items()} | (dict(alike) if mesh.is_first else {})
        starts = {name: str(rows.first) for name, rows in divided.items()}
        with written_whole(folder / file) as temporary:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in held.items()}, temporary, starts)
    dist.barrier(mesh.everyone)
    if mesh.is_first:
        files = [f"{name}.{rank}-of-{mesh.columns}.safetensors" for rank in range(mesh.columns)]
        content = {"values": dict(values), "card": card.to_dict(), **_written(folder, files)}
        write_json(folder / NAME, content)
        for old in set(folder.glob("*.safetensors")) - {folder / one for one in files}:
            old.unlink()
    dist.barrier(mesh.everyone)
    return folder


def _written(folder: Path, files: list[str]) -> dict[str, Any]:
    """What the manifest says of files that were just written: their sizes, and where each tensor's rows lie."""
    pieces: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        with safe_open(folder / file, framework="pt") as opened:
            starts = opened.metadata() or {}
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                shape = opened.get_slice(name).get_shape()
                first = int(starts[name]) if name in starts else 0
                pieces.setdefault(name, []).append(Piece(file, first, shape[0] if shape else 1).to_dict())
    return {"files": {file: (folder / file).stat().st_size for file in files}, "tensors": pieces}


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint on the disk, read by rows.

    Attributes:
        folder: where it lies.
        values: the plain values.
        card: how it was made.
        pieces: for each tensor where its rows lie, in order.
    """

    folder: Path
    values: dict[str, Any]
    card: dict[str, Any]
    pieces: dict[str, tuple[Piece, ...]]

    def __contains__(self, name: object) -> bool:
        return name in self.pieces

    def rows(self, name: str, first: int, rows: int) -> Tensor:
        """So many rows of a tensor from `first` on, whichever files they lie in.

        Raises:
            FormatError: the tensor, or some of the rows, are not there.
        """
        found = list(self._cut(name, first, first + rows))
        if sum(len(one) for one in found) != rows:
            have = sum(piece.rows for piece in self.pieces.get(name, ()))
            raise self.refusal(f"{have} rows of {name!r}, and not {first} to {first + rows - 1}")
        return torch.cat(found)

    def whole(self, name: str) -> Tensor:
        """All of a tensor.

        Raises:
            FormatError: it is not there.
        """
        pieces = self.pieces.get(name, ())
        if not pieces:
            raise self.refusal(f"no {name!r}")
        found = [self._opened(piece.file).get_tensor(name) for piece in pieces]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _cut(self, name: str, first: int, end: int) -> Iterator[Tensor]:
        for piece in self.pieces.get(name, ()):
            low = max(first, piece.first)
            high = min(end, piece.first + piece.rows)
            if low < high:
                yield self._opened(piece.file).get_slice(name)[low - piece.first : high - piece.first]

    def _opened(self, file: str) -> Any:
        try:
            return safe_open(self.folder / file, framework="pt")
        except (SafetensorError, OSError) as error:
            raise self.refusal(f"{file}, which cannot be read ({error})") from error

    def check(self, sizes: Mapping[str, int]) -> None:
        """Compares files with the manifest: sizes, and that each tensor's rows follow one another.

        Raises:
            FormatError: they differ.
        """
        for file, size in sizes.items():
            path = self.folder / file
            if Path(file).name != file or not path.is_file():
                raise self.refusal(f"no file {file!r}")
            if (found := path.stat().st_size) != size:
                raise self.refusal(f"{file} of {found:,} bytes instead of {size:,}")
        for name, pieces in self.pieces.items():
            shapes = [self._shape(name, piece, sizes) for piece in pieces]
            if any(shape[1:] != shapes[0][1:] for shape in shapes):
                raise self.refusal(f"{name!r} in pieces of shapes {shapes}")
            ends = [0, *(piece.first + piece.rows for piece in pieces)]
            if [piece.first for piece in pieces] != ends[:-1]:
                raise self.refusal(f"{name!r} in pieces that do not follow one another")

    def _shape(self, name: str, piece: Piece, sizes: Mapping[str, int]) -> list[int]:
        if piece.file not in sizes:
            raise self.refusal(f"{name!r} in {piece.file!r}, which is none of its files")
        opened = self._opened(piece.file)
        if name not in opened.keys():  # noqa: SIM118 - it is no mapping
            raise self.refusal(f"{piece.file} without {name!r}")
        shape = opened.get_slice(name).get_shape()
        if (shape[0] if shape else 1) != piece.rows:
            raise self.refusal(f"{name!r} of shape {shape} in {piece.file}, and {piece.rows} rows by the manifest")
        return shape

    def refusal(self, found: str) -> FormatError:
        """What is raised where it is not what it should be."""
        return FormatError(f"read the checkpoint {self.folder}", found=found, do="resume from another checkpoint")


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """The checkpoint in a folder, with its files' sizes and headers checked.

    Raises:
        MissingFile: there is none.
        FormatError: it is cut, changed or of a newer format.
    """
    folder = Path(folder)
    found = read_artefact(folder / NAME, kind=KIND, format=FORMAT, keys=("values", "files", "tensors"))
    try:
        pieces = {name: tuple(Piece(**piece) for piece in pieces) for name, pieces in found["tensors"].items()}
        sizes = {str(file): int(size) for file, size in found["files"].items()}
        made = Checkpoint(folder, dict(found["values"]), found["card"], pieces)
    except (TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"read the checkpoint {folder}", found=f"a manifest that is not whole ({error})",
            do="resume from another checkpoint",
        ) from error  # fmt: skip
    made.check(sizes)
    return made
