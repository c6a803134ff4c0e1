"""Checkpoints of runs in several processes, gone on with by any other number of them, one included.

A checkpoint is a nest of plain values and tensors (`train.checkpoint`). Where one process saves, it is one file; where
several do, a folder: tensors of units lie in it by rows, which each process writes of its own. Whichever it is, what is
read is what belongs to the units that lie here.
"""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microtome.cluster import checkpoint as divided
from microtome.cluster.checkpoint import Checkpoint, Rows
from microtome.cluster.mesh import Mesh
from microtome.core.artefact import RunCard
from microtome.core.errors import FormatError
from microtome.dictionary.share import Share
from microtome.train import checkpoint

FOLDER = "checkpoint"
Shares = Sequence[Sequence[Share]]  # of each dictionary, of each block

_BLOCK = re.compile(r"(?:^|/)blocks\.(\d+)\.")  # a unit's weights, and what the optimiser holds beside them
_ALL_BLOCKS = re.compile(r"/trainees/\d+/(?:since|tally/sums/fired)$")  # a number a unit, block after block
_TRAINEE = re.compile(r"^/trainees/(\d+)/")


def of_block(name: str) -> int | None:
    """The block to whose units a tensor of this name belongs; None where it belongs to none."""
    found = _BLOCK.search(name)
    return None if found is None else int(found[1])


def stands(folder: Path) -> bool:
    """Whether there is a checkpoint."""
    return (folder / checkpoint.FILE).exists() or (folder / FOLDER / divided.NAME).exists()


def read(folder: Path, shares: Shares, agree: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The newest checkpoint, of whatever number of processes: what belongs to the units that lie here.

    Args:
        folder: of the run.
        shares: which those are.
        agree: raises where the checkpoint is another run's; it is given its plain values.

    Raises:
        MissingFile: there is none.
        FormatError: it is damaged, or of a newer format.
    """
    found = []
    if (folder / FOLDER / divided.NAME).exists():
        found.append(_read_sharded(folder / FOLDER, shares, agree))
    if not found or (folder / checkpoint.FILE).exists():
        state = checkpoint.read(folder)
        agree(state)
        found.append(_own(state, shares))
    return max(found, key=lambda state: state["step"])  # two, where one was not yet removed when the run was killed


def remove(folder: Path) -> None:
    """Removes every checkpoint."""
    (folder / checkpoint.FILE).unlink(missing_ok=True)
    remove_sharded(folder)


def remove_sharded(folder: Path) -> None:
    """Removes what several processes saved."""
    if (folder / FOLDER).exists():
        shutil.rmtree(folder / FOLDER)


def write_sharded(folder: Path, state: dict[str, Any], shares: Shares, mesh: Mesh) -> None:
    """Writes a checkpoint in place of the one before; all processes of a mesh call it, and see the folder."""
    plain, tensors = checkpoint.apart(state)
    rows: dict[str, Rows] = {}
    alike: dict[str, Tensor] = {}
    for path, tensor in tensors.items():
        places = _places(path, tensor, shares)
        if places is None:
            alike[path] = tensor
            continue
        parts = tensor.split([share.units for share in places.values()])
        rows |= {name: Rows(own, share.first) for (name, share), own in zip(places.items(), parts, strict=True)}
    cut = sorted(path for path, tensor in tensors.items() if _places(path, tensor, shares) is not None)
    divided.save(
        folder / FOLDER, f"step-{state['step']:09}", mesh, divided=rows, alike=alike,
        values={"state": json.dumps(plain), "divided": cut}, card=RunCard(divided.KIND, divided.FORMAT),
    )  # fmt: skip


def _read_sharded(folder: Path, shares: Shares, agree: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    saved = divided.open_checkpoint(folder)
    try:
        plain = json.loads(saved.values["state"])
        cut = set(saved.values["divided"])
    except (KeyError, TypeError, ValueError) as error:
        raise saved.refusal(f"no state that can be read ({type(error).__name__}: {error})") from error
    agree(plain)
    return checkpoint.put_back(plain, lambda path: _taken(saved, path, shares, path in cut))


def _taken(saved: Checkpoint, path: str, shares: Shares, cut: bool) -> Tensor:
    if not cut:
        return saved.whole(path)
    names = _names(path, shares)
    if names is None:
        raise FormatError(
            f"read the checkpoint {saved.folder}", found=f"{path!r} divided over processes",
            do="resume from another checkpoint",
        )  # fmt: skip
    return torch.cat([saved.rows(name, share.first, share.units) for name, share in names.items()])


def _own(state: dict[str, Any], shares: Shares) -> dict[str, Any]:
    """What belongs to the units here, of what one process saved."""
    if all(share.alone for one in shares for share in one):
        return state
    plain, tensors = checkpoint.apart(state)

    def taken(path: str) -> Tensor:
        tensor = tensors[path]
        if (places := _places(path, tensor, shares)) is None:
            return tensor
        wholes = tensor.split([share.of for share in places.values()])
        own = [one[share.first : share.first + share.units] for one, share in zip(wholes, places.values(), strict=True)]
        return torch.cat(own)

    return checkpoint.put_back(plain, taken)


def _places(path: str, tensor: Tensor, shares: Shares) -> dict[str, Share] | None:
    """The names of a tensor's rows, block by block, with the share by which each is divided; None where it is whole."""
    return _names(path, shares) if tensor.ndim else None


def _names(path: str, shares: Shares) -> dict[str, Share] | None:
    trainee = _TRAINEE.match(path)
    if trainee is None:
        return None
    own = shares[int(trainee[1])]
    if _ALL_BLOCKS.search(path):
        return {f"{path}/{number}": share for number, share in enumerate(own)}
    number = of_block(path)
    return None if number is None else {path: own[number]}
