"""Where an edit lands: from real tokens and units to places in the chunk that is passing by.

A chunk is the part of a text that one forward call computes: all of it in a plain run, the prompt and
then one token at a time in generation with a cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from microtome.core.errors import SiteNotFound, WrongUse
from microtome.core.sites import Site
from microtome.model.edits import Edit, operate
from microtome.model.inputs import Batch

OVER_KEYS = ("attn.k", "attn.v")


@dataclass(frozen=True)
class Chunk:
    """Positions `start` to `start + width` of the padded text."""

    start: int
    width: int


def apply(edit: Edit, value: float | Tensor, site: Site, x: Tensor, batch: Batch, chunk: Chunk) -> Tensor:
    """The site's tensor after the edit; the same object where the edit does not reach this chunk.

    Args:
        edit: what to do, and where.
        value: its value at this site.
        site: whose tensor it is.
        x: in the site's shape, as the rows lie in the batch.
        batch: what is run.
        chunk: which positions `x` holds. Keys and values hold the cached positions too: an edit of
            those comes back at each call, because the cache keeps what was there before the edit.
    """
    axis = site.kind.position_axis
    moved = x.movedim(axis, 1)
    _check_units(edit, site, moved)
    here = chunk
    if site.kind.name in OVER_KEYS:
        end = chunk.start + chunk.width
        here = Chunk(end - moved.shape[1], moved.shape[1])
    if edit.where is not None:
        new = _masked(edit, value, moved, batch, here)
    elif isinstance(edit.positions, tuple):
        new = _named(edit, edit.positions, value, moved, batch, here)
    else:
        new = _everywhere(edit, value, moved, batch, here)
    return x if new is moved else new.movedim(1, axis)


def _named(
    edit: Edit, positions: tuple[int, ...], value: float | Tensor, x: Tensor, batch: Batch, here: Chunk
) -> Tensor:
    places = [[batch.place(row, position) - here.start for position in positions] for row in range(x.shape[0])]
    inside = [i for i, column in enumerate(zip(*places, strict=True)) if all(0 <= p < here.width for p in column)]
    if not inside:
        return x
    index = torch.tensor(places, device=x.device)[:, inside]
    rows = torch.arange(x.shape[0], device=x.device)[:, None]
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[1] == len(positions):
        value = value[:, inside]
    return x.index_put((rows, index), _on_units(edit, value, x[rows, index]))


def _everywhere(edit: Edit, value: float | Tensor, x: Tensor, batch: Batch, here: Chunk) -> Tensor:
    """All real tokens, or all new ones. A value with a position axis reaches as far as the prompt."""
    prompt = batch.ids.shape[1]
    index = torch.arange(here.start, here.start + here.width, device=x.device)
    reached = index >= prompt if edit.positions == "new" else index >= 0
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[1] not in (1, here.width):
        value = _fitted(edit, value, x, prompt, here)
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[1] > 1 and batch.side == "left":
        value = batch.unalign(value)
    if not bool(reached.any()):
        return x
    new = _on_units(edit, value, x)
    starts = torch.tensor(batch.offsets, device=x.device)[:, None]
    mask = reached[None] & (index[None] >= starts)
    if batch.side == "right" and batch.padded:
        mask = mask & ((index[None] < torch.tensor(batch.lengths, device=x.device)[:, None]) | (index[None] >= prompt))
    if bool(mask.all()):
        return new
    return torch.where(mask.reshape(mask.shape + (1,) * (x.ndim - 2)), new, x)


def _fitted(edit: Edit, value: Tensor, x: Tensor, prompt: int, here: Chunk) -> Tensor:
    raise WrongUse(
        f"edit: {edit}",
        found=f"a value over {value.shape[1]} positions, where {here.width} are being computed (prompt: {prompt})",
        do="give one value for all positions, or name the positions that the value is for",
    )


def _masked(edit: Edit, value: float | Tensor, x: Tensor, batch: Batch, here: Chunk) -> Tensor:
    assert edit.where is not None
    mask = batch.unalign(edit.where.expand(x.shape[0], *edit.where.shape[1:]))
    if mask.shape[1] != here.width or here.start:
        raise WrongUse(
            f"edit: {edit}",
            found=f"a mask over {mask.shape[1]} positions, where {here.width} are being computed",
            do="use a mask in plain runs of the same prompt; name positions in generation",
        )
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[1] > 1:
        value = batch.unalign(value.expand(x.shape[0], *value.shape[1:]))
    return torch.where(mask.to(x.device), operate(edit.kind, x, value), x)


def _on_units(edit: Edit, value: float | Tensor, x: Tensor) -> Tensor:
    if edit.units is None:
        return operate(edit.kind, x, value)
    units = torch.tensor([unit % x.shape[2] for unit in edit.units], device=x.device)
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[2] == x.shape[2] > 1:
        value = value.index_select(2, units)
    return x.index_copy(2, units, operate(edit.kind, x.index_select(2, units), value))


def _check_units(edit: Edit, site: Site, x: Tensor) -> None:
    for unit in edit.units or ():
        if not -x.shape[2] <= unit < x.shape[2]:
            raise SiteNotFound(
                f"edit: {edit}",
                found=f"unit {unit}, but {site} has units 0 to {x.shape[2] - 1}",
                do="name units that exist",
            )
