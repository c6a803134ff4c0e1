"""Edits: interventions on sites. Values in, values out; an edit can be logged and made again."""

import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.coder import Coder, HasCoder
from microtome.core.counting import counted
from microtome.core.errors import WrongUse, nearest

Positions = int | Sequence[int] | Sequence[Sequence[int]] | Tensor | Literal["new"] | None
Units = int | Sequence[int] | Tensor | None
Kind = Literal["set", "add", "scale", "splice"]
Aim = Literal["zero", "mean", "counterfactual"]


@dataclass(frozen=True)
class Elsewhere:
    """A value still to be taken from another run at the same sites.

    Attributes:
        inputs: what to run there.
        how: `same` takes its values position by position; `mean` pools them, position 0 apart.
    """

    inputs: Any
    how: Literal["same", "mean"]


@dataclass(frozen=True, eq=False)
class Pooled:
    """One value for position 0 and one for every other, `[2, units…]`."""

    means: Float[Tensor, "2 *u"]


@dataclass(frozen=True, eq=False)
class Taken:
    """A site's tensor on another prompt, token for token, `[b, p, …]`.

    Attributes:
        tensor: aligned to real tokens.
        lengths: real tokens of each row; those of the prompt that is edited have to be the same.
    """

    tensor: Tensor
    lengths: tuple[int, ...]


Where = str | HasCoder
"""A site or a pattern of sites; or a dictionary, for an edit of its units."""
Computed = Callable[[Tensor], Tensor]
"""From a site's tensor, as the rows lie in the batch, to the one to go on with; gradients flow through it."""
Given = float | Tensor | Mapping[str, Tensor]
EditValue = Given | Computed | Elsewhere


class Places(TypedDict, total=False):
    """Where an edit lands; everywhere on the site, where nothing is said.

    Attributes:
        positions: real tokens (negative from the end), a list of them for each row of a batch (as many in each),
            `new` for every generated one, None for all.
        units: indices on the site's axis of units (heads, for `attn.heads`, `attn.pattern`, …), or units of the
            dictionary; None for all.
        where: a mask over the site, `[b, p, u]`, aligned to real tokens, instead of the two above. Rows of a
            batch are chosen with it. Its last axes may be left out. Of a dictionary, over the units named.
        may_be_empty: do not raise when nothing changes.
    """

    positions: Positions
    units: Units
    where: Bool[Tensor, "b p *u"] | None
    may_be_empty: bool


@dataclass(frozen=True, eq=False, repr=False)
class Edit:
    """One intervention.

    Attributes:
        site: a site or a pattern of sites, such as `mlp.neurons.12` or `resid.{3,7}`; or a dictionary's coder. Then
            the edit is one of its units' activations, and sites get what changes in what these units write: what
            the dictionary does not reconstruct is kept.
        kind: what is done with `value`: `set`, `add`, `scale`; `splice` puts the reconstruction in, whatever the value.
        value: a number; a tensor that broadcasts to the site's shape, with the positions named; one tensor a site;
            or a function of the site's tensor.
        positions, units, where, may_be_empty: see `Places`.
    """

    site: str | Coder
    kind: Kind
    value: EditValue
    positions: tuple[int, ...] | tuple[tuple[int, ...], ...] | Literal["new"] | None = None
    units: tuple[int, ...] | None = None
    where: Bool[Tensor, "b p *u"] | None = None
    may_be_empty: bool = False

    @property
    def n_positions(self) -> int | None:
        """How many positions of each row are named; None where they are not counted."""
        if not isinstance(self.positions, tuple):
            return None
        first = self.positions[0]
        return len(first) if isinstance(first, tuple) else len(self.positions)

    def positions_of(self, rows: int) -> list[tuple[int, ...]]:
        """The positions named, for each row of a batch of so many.

        Raises:
            WrongUse: they are named for another number of rows.
        """
        assert isinstance(self.positions, tuple), "positions that are counted"
        each = [one for one in self.positions if isinstance(one, tuple)]
        if not each:
            return [tuple(one for one in self.positions if isinstance(one, int))] * rows
        if len(each) != rows:
            raise WrongUse(
                f"edit: {self}",
                found=f"positions for {counted(len(each), 'row')}, in a batch of {rows}",
                do="give a list of positions for each row, or one for all",
            )
        return each

    def __repr__(self) -> str:
        return f"Edit({self})"

    def __str__(self) -> str:
        parts = [f"{self.kind} at {self.site}"]
        if self.positions is not None:
            parts.append(f"positions {_short(self.positions)}")
        if self.units is not None:
            parts.append(f"units {_short(self.units)}")
        if self.where is not None:
            parts.append(f"where a mask {list(self.where.shape)} is true")
        return ", ".join(parts)


def _short(what: tuple[Any, ...] | str) -> str:
    if isinstance(what, str) or len(what) <= 6:
        return str(what)
    return f"({', '.join(map(str, what[:5]))}, … {len(what)} in all)"


OneEdit = Edit | tuple[str, Computed] | Mapping[str, Computed]
Edits = OneEdit | Iterable[OneEdit]
"""One edit or several; sites with functions, as a pair or as a mapping, stand for `set(site, function)`."""


def set(site: Where, value: Given | Computed, **places: Unpack[Places]) -> Edit:
    """Replaces values at a site, or activations of a dictionary's units.

    Args:
        site: a site or a pattern; or a dictionary, whose units then stand for the site's.
        value: a number; a tensor that broadcasts to the site's shape, with the positions named; one a site; or a
            function from the site's tensor `[b, p, …]` (of a dictionary, from the activations of the units named)
            to what takes its place, called in the middle of the pass. It gets the whole tensor, rows as they lie in
            the batch, and what it gives is taken at the places named. It returns the same object where there is
            nothing to change.
        **places: positions, units, where, may_be_empty: see `Places`.

    Raises:
        WrongUse: places or a value that mean nothing.
    """
    return _edit("set", site, value, places)


def add(site: Where, value: Given, **places: Unpack[Places]) -> Edit:
    """Adds to values at a site; arguments as for `set`."""
    return _edit("add", site, value, places)


def scale(site: Where, value: Given, **places: Unpack[Places]) -> Edit:
    """Multiplies values at a site; arguments as for `set`."""
    return _edit("scale", site, value, places)


def ablate(site: Where, *, to: Aim = "zero", source: Any = None, **places: Unpack[Places]) -> Edit:
    """Removes what a site says, in one of three senses.

    Args:
        site: a site or a pattern; or a dictionary, whose units are removed and whose error is kept.
        to: `zero`; `mean` of the site over `source` texts (position 0 apart, the others pooled); or
            `counterfactual`, the site's values on the `source` prompt, position by position.
        source: the texts or the prompt; `mean` without it takes the shipped neutral prompts.
        **places: as for `set`.

    Raises:
        WrongUse: `to` is none of these, or a counterfactual is missing.
    """
    if to == "counterfactual" and source is None:
        raise WrongUse(f"ablate {site} to {to!r}", found="no `source` prompt", do="give source= the counterfactual")
    if to == "zero" and source is not None:
        raise WrongUse(f"ablate {site} to {to!r}", found="a `source`", do="say to='mean' or to='counterfactual'")
    values: dict[str, EditValue] = {
        "zero": 0.0,
        "mean": Elsewhere(source, "mean"),
        "counterfactual": Elsewhere(source, "same"),
    }
    if to not in values:
        raise WrongUse(f"ablate {site}", found=f"to={to!r}", do=f"say one of {', '.join(values)}")
    return _edit("set", site, values[to], places)


def splice(dictionary: HasCoder, **places: Unpack[Places]) -> Edit:
    """Puts what a dictionary makes of its inputs in the place of what it reconstructs.

    A transcoder so takes the place of an MLP: `mlp.out` becomes what it makes of `mlp.in`. What it does not
    reconstruct is lost, which is what a spliced model measures.

    Args:
        dictionary: reads and writes sites of the model.
        **places: positions, where `[b, p]`, may_be_empty: see `Places`.

    Raises:
        WrongUse: places that mean nothing, or units named: a reconstruction is that of all.
    """
    if places.get("units") is not None:
        raise WrongUse(
            f"splice {dictionary.coder}", found="units named", do="leave units out, or edit them: ablate(…, units=…)"
        )
    return _edit("splice", dictionary, 0.0, places)


def _edit(kind: Kind, site: Where, value: Any, places: Mapping[str, Any]) -> Edit:
    """The edit, if what was given means one: it comes from people, so it may be anything."""
    if not isinstance(site, str | HasCoder):
        found = f"{reprlib.repr(site)} (of type {type(site).__name__})"
        raise WrongUse(f"{kind} values", found=found, do="name a site, or give a dictionary")
    place = site if isinstance(site, str) else site.coder
    what = f"{kind} at {place}"
    value = value.item() if isinstance(value, np.number) else value
    computed = _is_function(value)
    if not (computed or isinstance(value, int | float | Tensor | Mapping | Elsewhere)):
        raise WrongUse(what, found=f"a value of type {type(value).__name__}", do="give a number or a tensor")
    if computed and kind != "set":
        raise WrongUse(
            what, found="a function as the value", do="set(site, function) with a function that does the whole of it"
        )
    if unknown := [name for name in places if name not in Places.__annotations__]:
        raise WrongUse(
            what,
            found=f"an argument {nearest(unknown[0], Places.__annotations__)}",
            do=f"say where with {', '.join(Places.__annotations__)}",
        )
    positions, units, where = (places.get(name) for name in ("positions", "units", "where"))
    masked_units = None if isinstance(place, Coder) else units  # a dictionary's units named are all that there is
    if where is not None and not (positions is None and masked_units is None):
        raise WrongUse(
            what,
            found="a mask beside positions or units",
            do="give `where` alone: it already says which positions and units",
        )
    if where is not None and not (isinstance(where, Tensor) and where.dtype == torch.bool):
        found = where.dtype if isinstance(where, Tensor) else type(where).__name__
        raise WrongUse(what, found=f"a mask of {found}", do="give a tensor of true and false, such as mask > 0")
    if isinstance(positions, str) and positions != "new":
        raise WrongUse(what, found=f"positions={positions!r}", do="give numbers or 'new'")
    named = "new" if isinstance(positions, str) else _positions(positions, what)
    may_be_empty = bool(places.get("may_be_empty", False))
    return Edit(place, kind, value, named, _many(units, what, "units"), where, may_be_empty)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def those(edits: Any) -> tuple[Edit, ...]:
    """The edits that were given, one or several.

    Raises:
        WrongUse: one of them is no edit.
    """
    several = isinstance(edits, Iterable) and not isinstance(edits, Mapping) and not _is_pair(edits)
    given = list(edits) if several else [edits]
    return tuple(
        _one_of_those(one) for each in given for one in (each.items() if isinstance(each, Mapping) else (each,))
    )


def _is_pair(given: Any) -> bool:
    """Whether this is a site and a function."""
    return isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str) and _is_function(given[1])


def _one_of_those(one: Any) -> Edit:
    if _is_pair(one):
        return set(*one)
    if isinstance(one, Edit):
        return one
    raise WrongUse(
        "edit the model",
        found=f"{reprlib.repr(one)} (of type {type(one).__name__}), which is no edit",
        do='give what microtome.set, add, scale or ablate makes, such as ablate("mlp.out.3"), or a site with a '
        'function of its tensor, such as ("mlp.out.3", torch.relu)',
    )


def _positions(asked: Any, what: str) -> tuple[int, ...] | tuple[tuple[int, ...], ...] | None:
    """Positions for all rows, or a list of them for each."""
    plain = asked.tolist() if isinstance(asked, Tensor | np.ndarray | np.generic) else asked
    if not isinstance(plain, list | tuple) or not any(isinstance(one, list | tuple) for one in plain):
        return _many(plain, what, "positions")
    rows = tuple(_many(one, what, "positions") or () for one in plain)
    if len({len(one) for one in rows}) > 1:
        raise WrongUse(
            what,
            found=f"{', '.join(str(len(one)) for one in rows)} positions in different rows",
            do="name as many in each row, or give a mask `where`",
        )
    return rows


def _many(asked: Any, what: str, name: str) -> tuple[int, ...] | None:
    if asked is None:
        return None
    plain = asked.tolist() if isinstance(asked, Tensor | np.ndarray | np.generic) else asked
    items = list(plain) if isinstance(plain, Iterable) else [plain]
    if not items:
        raise WrongUse(what, found=f"an empty list of {name}", do=f"name {name}, or leave them out")
    wrong = [one for one in items if isinstance(one, bool) or not isinstance(one, int | np.integer)]
    if wrong:
        raise WrongUse(
            what, found=f"{name} such as {wrong[0]!r}", do=f"give whole numbers as {name}, or a mask `where`"
        )
    found = tuple(map(index, items))
    if len(dict.fromkeys(found)) < len(found):
        raise WrongUse(what, found=f"{name} named twice in {_short(found)}", do="name each once")
    return found


def operate(kind: Kind, x: Tensor, value: float | Tensor) -> Tensor:
    """What an edit does to the values that it addresses."""
    v = value.to(x) if isinstance(value, Tensor) else value
    if kind == "add":
        return x + v
    if kind == "scale":
        return x * v
    return torch.as_tensor(v, dtype=x.dtype, device=x.device).expand_as(x)
