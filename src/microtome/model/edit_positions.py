"""Where an edit lands: from real tokens and units to places in the chunk that is passing by.

A chunk is the part of a text that one forward call computes: all of it in a plain run, the prompt and
then one token at a time in generation with a cache.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from microtome.core.counting import counted
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.core.sites import Site
from microtome.model.edits import Computed, Edit, Pooled, Taken, operate
from microtome.model.inputs import Batch

SiteValue = float | Tensor | Computed | Pooled | Taken


@dataclass(frozen=True)
class Chunk:
    """Positions `start` to `start + width` of the padded text."""

    start: int
    width: int


@dataclass(frozen=True, eq=False)
class Ground:
    """The columns that a site's tensor holds of the padded text, and the token that stands in each.

    Attributes:
        batch: what is run.
        start: the first column.
        token: each column's position in its row, `[b, w]`: negative at padding on the left, and going on
            past the row's end where tokens are generated.
        real: whether a token stands there at all, `[b, w]`.
    """

    batch: Batch
    start: int
    token: Int[Tensor, "b w"]
    real: Bool[Tensor, "b w"]

    @property
    def prompt(self) -> int:
        """Width of the padded prompt."""
        return self.batch.ids.shape[1]

    @property
    def new(self) -> Bool[Tensor, "b w"]:
        """True at generated tokens."""
        column = torch.arange(self.start, self.start + self.token.shape[1], device=self.token.device)
        return (column >= self.prompt).expand_as(self.token)


def _ground(batch: Batch, end: int, width: int, device: torch.device) -> Ground:
    """The last `width` columns before `end`: a cache drops old ones, and not every call computes all logits."""
    column = torch.arange(end - width, end, device=device)
    token = column[None] - torch.tensor(batch.offsets, device=column.device)[:, None]
    lengths = torch.tensor(batch.lengths, device=column.device)[:, None]
    ended = (token >= lengths) & (column < batch.ids.shape[1])
    return Ground(batch, end - width, token, (token >= 0) & ~ended)


def apply(edit: Edit, value: SiteValue, site: Site, x: Tensor, batch: Batch, chunk: Chunk) -> Tensor:
    """The site's tensor after the edit; the same object where the edit does not reach this chunk.

    Keys and values hold the cached positions too: an edit of those comes back at each call, because the
    cache keeps what was there before the edit. Scores and patterns keep their columns at padding.

    Args:
        edit: what to do, and where.
        value: its value at this site; a tensor broadcasts to the site's shape, with the positions named.
        site: whose tensor it is.
        x: in the site's shape, as the rows lie in the batch.
        batch: what is run.
        chunk: which positions the call computes.

    Raises:
        SiteNotFound: a position or a unit does not exist.
        WrongUse: the value, or the mask, is of another shape than what is edited.
    """
    computed = _computed(edit, value, site, x) if isinstance(value, Callable) else None
    if computed is not None and (computed is x or _everywhere(edit)):
        return computed
    moved = x.movedim(site.kind.position_axis, 1)
    end = chunk.start + chunk.width
    ground = _ground(batch, end, moved.shape[1], x.device)
    _check_units(edit, site, moved)
    if isinstance(value, Taken):
        value = _same_lengths(edit, value, batch)
    if isinstance(value, Tensor):
        value = _in_order(edit, value, site, x, ground)
    rows, columns, which = _places(edit, ground, spread=isinstance(value, Tensor) and value.shape[1] > 1)
    if not len(rows):
        return x
    whole = not isinstance(edit.positions, tuple) and len(rows) == ground.token.numel()  # no need to pick
    old = moved.flatten(0, 1) if whole else moved[rows, columns]
    if computed is not None:
        given: float | Tensor = computed.movedim(site.kind.position_axis, 1)[rows, columns]
    elif isinstance(value, Pooled):
        given = value.means[(ground.token[rows, columns] > 0).long()]
    elif isinstance(value, Tensor):
        given = value[rows * (value.shape[0] > 1), which * (value.shape[1] > 1)]
    else:
        assert isinstance(value, float | int), "the rest are numbers"
        given = value
    new = _on_units(edit, given, site, old)
    if edit.where is not None:
        mask = _mask(edit, edit.where, site, x, ground)
        new = torch.where(mask[rows * (mask.shape[0] > 1), which], new, old)
    if _over_keys(site) and batch.padded:
        new = torch.where(_ground(batch, end, x.shape[-1], x.device).real[rows][:, None], new, old)
    put = new.reshape(moved.shape).contiguous() if whole else moved.index_put((rows, columns), new)
    return put.movedim(1, site.kind.position_axis)


def _everywhere(edit: Edit) -> bool:
    return edit.positions is None and edit.units is None and edit.where is None


def _computed(edit: Edit, value: Computed, site: Site, x: Tensor) -> Tensor:
    new = value(x)
    if isinstance(new, Tensor) and new.shape == x.shape:
        return new
    found = f"one of shape {list(new.shape)}" if isinstance(new, Tensor) else f"a {type(new).__name__}"
    raise WrongUse(
        f"edit: {edit}",
        found=f"a function that made of a tensor of shape {list(x.shape)} {found}",
        do=f"return a tensor of the shape of {site}",
    )


def _same_lengths(edit: Edit, value: Taken, batch: Batch) -> Tensor:
    there = value.lengths
    here = batch.lengths
    if there != here and (len(there) > 1 or {*there} != {*here}):
        raise WrongUse(
            f"edit: {edit}",
            found=f"a counterfactual of {_in_words(there)}, where the prompt has {_in_words(here)}",
            do="give one of the same length, or name positions",
        )
    return value.tensor


def _in_words(lengths: tuple[int, ...]) -> str:
    shown = ", ".join(map(str, lengths[:6])) + (", …" if len(lengths) > 6 else "")
    return counted(lengths[0], "token") if len(lengths) == 1 else f"{shown} tokens"


def _over_keys(site: Site) -> bool:
    return len(site.kind.position_axes) > 1


def _in_order(edit: Edit, value: Tensor, site: Site, x: Tensor, ground: Ground) -> Tensor:
    """A value with all of the site's axes, positions moved to axis 1 and keys lying as they lie in `x`."""
    rows = x.shape[0]
    prompt = ground.prompt
    span = edit.n_positions or (1 if edit.positions == "new" else prompt)
    if value.ndim <= x.ndim:
        whole = value.to(x.device).reshape((1,) * (x.ndim - value.ndim) + tuple(value.shape))
        whole = _keys_placed(whole, site, ground).movedim(site.kind.position_axis, 1)
        if whole.shape[0] in (1, rows) and whole.shape[1] in (1, span):
            return whole
    raise WrongUse(
        f"edit: {edit}",
        found=f"a value of shape {list(value.shape)}, where {site} is {list(x.shape)} and {counted(span, 'position')} "
        "of it can be given",
        do="give a number, or a tensor that broadcasts to the site's shape with those positions alone",
    )


def _mask(edit: Edit, mask: Tensor, site: Site, x: Tensor, ground: Ground) -> Tensor:
    """A mask with all of the site's axes, positions moved to axis 1, keys lying as they lie in `x`."""
    axis = site.kind.position_axis
    rows = x.shape[0]
    if axis < mask.ndim <= x.ndim and mask.shape[axis] == ground.prompt and mask.shape[0] in (1, rows):
        whole = mask.to(x.device).reshape(tuple(mask.shape) + (1,) * (x.ndim - mask.ndim))
        return _keys_placed(whole, site, ground).movedim(axis, 1)
    raise WrongUse(
        f"edit: {edit}",
        found=f"a mask of shape {list(mask.shape)}, where {site} is {list(x.shape)} and the prompt has "
        f"{ground.prompt} positions",
        do="give a mask of the site's shape on this prompt; its last axes may be left out",
    )


def _keys_placed(whole: Tensor, site: Site, ground: Ground) -> Tensor:
    """The same with its axis of keys, where it has one, moved from real tokens to the batch's columns."""
    if not _over_keys(site) or whole.shape[-1] == 1:
        return whole
    whole = whole.expand(len(ground.batch.lengths), *whole.shape[1:])
    return ground.batch.unalign(whole.movedim(-1, 1)).movedim(1, -1)


def _places(edit: Edit, ground: Ground, *, spread: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Rows and columns to edit, `[n]` each, and the position along the value that belongs to each.

    A value or a mask over all positions is one over the prompt's, and goes no further.
    """
    if not isinstance(edit.positions, tuple):
        reached = ground.real & ground.new if edit.positions == "new" else ground.real
        if spread or edit.where is not None:
            reached = reached & ~ground.new
        rows, columns = reached.nonzero(as_tuple=True)
        return rows, columns, ground.token[rows, columns]
    found = []
    for row, positions in enumerate(edit.positions_of(len(ground.batch.lengths))):
        places = [ground.batch.place(row, position) for position in positions]
        if len(dict.fromkeys(places)) < len(places):
            raise WrongUse(
                f"edit: {edit}",
                found=f"two of these positions are one token of row {row}, which has {ground.batch.lengths[row]}",
                do="name each token once",
            )
        columns = [(row, place - ground.start, i) for i, place in enumerate(places)]
        found += [one for one in columns if 0 <= one[1] < ground.token.shape[1]]
    index = torch.tensor(found, dtype=torch.long, device=ground.token.device).reshape(-1, 3)
    return index[:, 0], index[:, 1], index[:, 2]


def _on_units(edit: Edit, value: float | Tensor, site: Site, x: Tensor) -> Tensor:
    """The edit on the units named, of the places `[n, units…]` that were picked."""
    if edit.units is None:
        return _operated(edit, value, site, x)
    units = torch.tensor([unit % x.shape[1] for unit in edit.units], device=x.device)
    if isinstance(value, Tensor) and value.ndim == x.ndim and value.shape[1] == x.shape[1] > 1:
        value = value.index_select(1, units)
    return x.index_copy(1, units, _operated(edit, value, site, x.index_select(1, units)))


def _operated(edit: Edit, value: float | Tensor, site: Site, x: Tensor) -> Tensor:
    if isinstance(value, Tensor):
        wide = (1,) * (x.ndim - value.ndim) + tuple(value.shape)
        if any(has not in (1, takes) for has, takes in zip(wide[1:], x.shape[1:], strict=True)):
            raise WrongUse(
                f"edit: {edit}",
                found=f"a value of {list(wide[1:])} for each position, where {site} has {list(x.shape[1:])}",
                do="give a number, or a tensor that broadcasts to what is edited",
            )
    return operate(edit.kind, x, value)


def _check_units(edit: Edit, site: Site, x: Tensor) -> None:
    if edit.units is not None and x.ndim < 3:
        raise SiteNotFound(f"edit: {edit}", found=f"one number a position at {site}", do="leave `units` out")
    width = x.shape[2] if edit.units is not None else 0
    for unit in edit.units or ():
        if not -width <= unit < width:
            raise SiteNotFound(
                f"edit: {edit}",
                found=f"unit {unit}, but {site} has units 0 to {width - 1}",
                do="name units that exist",
            )
    if len({unit % width for unit in edit.units or ()}) < len(edit.units or ()):
        raise WrongUse(
            f"edit: {edit}", found=f"two of these units are one, of the {width} of {site}", do="name each unit once"
        )
