"""Training in several processes: units lie in columns of the mesh, parts of the batch in its rows.

Each process holds its share of read vectors, write vectors and of the optimiser's state, and nothing of the others';
b_dec and the skip are alike everywhere. It learns what one process would learn from the whole batch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed import ReduceOp

from microtome.cluster import checkpoint
from microtome.cluster.across import AcrossRanks
from microtome.cluster.checkpoint import Checkpoint, Rows
from microtome.cluster.collectives import average, reduced
from microtome.cluster.mesh import Mesh
from microtome.cluster.parts import part
from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.share import Share

BLOCKS = "blocks"  # what the parameters of units are named by, in a dictionary


def shares_of(geometry: Geometry, mesh: Mesh) -> tuple[Share, ...]:
    """Which units of each block this process holds.

    Raises:
        WrongUse: a block has fewer units than there are columns.
    """
    across, found = AcrossRanks(mesh), []
    for number, block in geometry.numbered:
        own = part(block.units, mesh.column_rank, mesh.columns)
        if block.units < mesh.columns:
            raise WrongUse(
                f"divide the units of block {number} over {mesh.columns} processes", found=f"{block.units} units",
                do="divide them over fewer",
            )  # fmt: skip
        found.append(Share(own.start, len(own), block.units, across))
    return tuple(found)


def own_rows(rows: Mapping[str, Float[Tensor, "_ _"]], mesh: Mesh) -> dict[str, Float[Tensor, "_ _"]]:
    """This process's part of a batch of which all draw the same: so one checkpoint serves any number of them.

    Raises:
        WrongUse: the batch cannot be divided into equal parts.
    """
    size = len(next(iter(rows.values())))
    if size % mesh.rows:
        raise WrongUse(
            f"divide a batch over {mesh.rows} processes", found=f"{size:,} tokens", do=f"give a multiple of {mesh.rows}"
        )
    own = part(size, mesh.row_rank, mesh.rows)
    return {site: tensor[own.start : own.stop] for site, tensor in rows.items()}


def average_gradients(dictionary: Dictionary, mesh: Mesh) -> None:
    """Puts the mean over the parts of the batch in the place of each gradient."""
    if mesh.rows > 1:
        average((p.grad for p in dictionary.parameters() if p.grad is not None), mesh.same_columns)


def clip_gradients(dictionary: Dictionary, mesh: Mesh, limit: float) -> Float[Tensor, ""]:
    """Cuts gradients to a length over all processes' parameters, and returns what it was before."""
    squares = {name: p.grad.square().sum() for name, p in dictionary.named_parameters() if p.grad is not None}
    zero = dictionary.b_dec.new_zeros(())
    own = sum((one for name, one in squares.items() if name.startswith(BLOCKS)), zero)
    alike = sum((one for name, one in squares.items() if not name.startswith(BLOCKS)), zero)
    length = (reduced(own, mesh.same_rows, ReduceOp.SUM) + alike).sqrt()
    torch.nn.utils.clip_grads_with_norm_(dictionary.parameters(), limit, length)
    return length


def summed_over_rows(x: Tensor, mesh: Mesh) -> Tensor:
    """Σ over the parts of the batch: of counts, and of the sums that figures are made from."""
    return reduced(x, mesh.same_columns, ReduceOp.SUM)


@dataclass(frozen=True, eq=False)
class Companions:
    """Tensors that go with a dictionary's: `of_parameters["exp_avg"]["blocks.0.W_enc"]`, `of_units["since"]`.

    Attributes:
        of_parameters: by what they are, then by the parameter's name and of its shape; scalars are alike everywhere.
        of_units: one number for each unit that lies here, block after block.
        alike: the same in all processes.
    """

    of_parameters: Mapping[str, Mapping[str, Tensor]]
    of_units: Mapping[str, Tensor]
    alike: Mapping[str, Tensor]


def save_sharded(
    folder: str | Path, name: str, dictionary: Dictionary, companions: Companions, mesh: Mesh,
    values: Mapping[str, Any], card: RunCard,
) -> Path:  # fmt: skip
    """Writes a checkpoint of a dictionary in training; all processes call it.

    Args:
        folder: of the run's checkpoints; all processes see it.
        name: of this one; another than that of the one before.
        dictionary: this process's share.
        companions: what else the next step depends on.
        mesh: who saves.
        values: plain values, the same in all processes.
        card: how it was made.
    """
    divided: dict[str, Rows] = {}
    alike = {f"alike/{key}": tensor for key, tensor in companions.alike.items()}
    everything = {"weights": dict(dictionary.state_dict()), **companions.of_parameters}
    for kind, tensors in everything.items():
        for parameter, tensor in tensors.items():
            share = _share(dictionary, parameter, tensor.ndim)
            key = f"{kind}/{parameter}"
            if share is None:
                alike[key] = tensor
            else:
                divided[key] = Rows(tensor, share.first)
    for kind, tensor in companions.of_units.items():
        for number, own in enumerate(tensor.split([units.share.units for units in dictionary.units])):
            divided[f"{kind}/{BLOCKS}.{number}"] = Rows(own, _shares(dictionary)[number].first)
    return checkpoint.save(folder, name, mesh, divided=divided, alike=alike, values=values, card=card)


def load_sharded(saved: Checkpoint, dictionary: Dictionary, companions: Companions) -> Companions:
    """Fills a dictionary with its share of what any number of processes saved, and returns what goes with it.

    Args:
        saved: see `cluster.checkpoint.open_checkpoint`.
        dictionary: whole, or the share of this process.
        companions: the names of what is wanted; a parameter's tensors give the shapes.

    Raises:
        FormatError: the checkpoint lacks something, or is of another shape.
    """
    weights = {name: _taken(saved, dictionary, "weights", name, like) for name, like in dictionary.state_dict().items()}
    dictionary.load_state_dict(weights)
    return replace(
        companions,
        of_parameters={
            kind: {name: _taken(saved, dictionary, kind, name, like) for name, like in tensors.items()}
            for kind, tensors in companions.of_parameters.items()
        },
        of_units={kind: torch.cat(list(_of_units(saved, dictionary, kind))) for kind in companions.of_units},
        alike={key: saved.whole(f"alike/{key}") for key in companions.alike},
    )


def _of_units(saved: Checkpoint, dictionary: Dictionary, kind: str) -> Iterator[Tensor]:
    for number, share in enumerate(_shares(dictionary)):
        yield saved.rows(f"{kind}/{BLOCKS}.{number}", share.first, share.units)


def _taken(saved: Checkpoint, dictionary: Dictionary, kind: str, parameter: str, like: Tensor) -> Tensor:
    share, key = _share(dictionary, parameter, like.ndim), f"{kind}/{parameter}"
    found = saved.whole(key) if share is None else saved.rows(key, share.first, share.units)
    if found.shape != like.shape:
        raise saved.refusal(f"{key!r} of shape {list(found.shape)}, where {list(like.shape)} is needed")
    return found.to(like)


def _share(dictionary: Dictionary, parameter: str, ndim: int) -> Share | None:
    """The share by which a parameter's rows are divided; None where it is alike everywhere."""
    head, _, rest = parameter.partition(".")
    return _shares(dictionary)[int(rest.split(".")[0])] if head == BLOCKS and ndim else None


def _shares(dictionary: Dictionary) -> list[Share]:
    return [units.share for units in dictionary.units]
