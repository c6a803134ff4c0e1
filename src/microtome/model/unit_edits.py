"""Edits of a dictionary's units: their activations are edited like a site of their own, the site gets what changed.

For a dictionary the tensor `[b, p, n]` of the units named plays the part of a site's tensor, so that positions,
masks, means and counterfactuals mean what they mean everywhere. What goes to the site that the units write is the
change of what they write, so that what the dictionary does not reconstruct stays. Units of heads read
and write all heads of a layer side by side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from microtome.core.coder import Coder
from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.core.sites import Site, SiteKind, Sites
from microtome.model.edit_positions import Chunk, SiteValue, apply
from microtome.model.edit_values import Ask, values
from microtome.model.edits import Edit
from microtome.model.inputs import Batch
from microtome.model.run import Run

UNITS = Site((0, 0), SiteKind("units", "b p u", False, "activations of a dictionary's units"), None)


@dataclass(frozen=True, eq=False)
class ByUnits:
    """An edit's value at one of the sites that a dictionary writes.

    Attributes:
        coder: of the dictionary.
        name: the site, as the dictionary calls it.
        needs: the sites that have to pass before it, by the dictionary's names for them.
        units: those that are edited.
        value: of their activations.
    """

    coder: Coder
    name: str
    needs: dict[str, Site]
    units: tuple[int, ...]
    value: SiteValue


@dataclass(frozen=True, eq=False)
class Known:
    """What one pass knows of a dictionary's units at a site that it has edited.

    Attributes:
        x: the site's tensor after the edits.
        read: what the units read.
        edited: activations after each edit, `[b, p, n]`, and whose they are.
    """

    x: Tensor
    read: Mapping[str, Tensor]
    edited: tuple[tuple[tuple[int, ...], Tensor], ...] = ()


def by_units(edit: Edit, coder: Coder, find: Callable[[str], Site], ask: Ask) -> dict[Site, ByUnits]:
    """The value of an edit at each site that its units write.

    Args:
        edit: of the units of a coder.
        coder: those.
        find: the model's site of a name.
        ask: see `edit_values.Ask`.

    Raises:
        SiteNotFound: the model lacks a site that the units read or write, or the dictionary lacks a unit.
        WrongUse: see `edit_values.values`.
    """
    units = _units(edit, coder)
    asked = None if edit.kind == "splice" else units
    needs = {name: coder.needs(name, asked) for name in coder.writes}
    reads = list(dict.fromkeys(name for names in needs.values() for name in names))

    def activations(inputs: Any, _: list[str]) -> Run:
        run = ask(inputs, [str(find(name)) for name in reads])
        found = coder.encode(units, {name: run[str(find(name))].flatten(2) for name in reads})
        return Run({str(UNITS): found}, {}, None, run.batch, Sites(0, ()))

    value = values(_of_activations(edit), [UNITS], activations)[UNITS]
    if isinstance(value, Tensor) and value.ndim and value.shape[-1] == coder.n_units != len(units):
        value = value[..., list(units)]
    return {
        find(name): ByUnits(coder, name, {one: find(one) for one in names}, units, value)
        for name, names in needs.items()
        if names
    }


def _units(edit: Edit, coder: Coder) -> tuple[int, ...]:
    """The units named, counted from the first."""
    if edit.kind == "splice":
        return ()
    n = coder.n_units
    if wrong := [unit for unit in edit.units or () if not -n <= unit < n]:
        raise SiteNotFound(
            f"edit: {edit}", found=f"unit {wrong[0]}, but it has units 0 to {n - 1}", do="name units that exist"
        )
    found = tuple(range(n)) if edit.units is None else tuple(unit % n for unit in edit.units)
    if len(dict.fromkeys(found)) < len(found):
        raise WrongUse(f"edit: {edit}", found=f"two of these units are one, of {n}", do="name each unit once")
    return found


def _of_activations(edit: Edit) -> Edit:
    """The same edit as one of the tensor that holds the named units alone."""
    return replace(edit, units=None)


class Coding:
    """What one forward call has shown of the sites that dictionaries read, and what became of their units."""

    def __init__(self, needed: frozenset[Site]):
        self.needed = needed
        self._seen: dict[Site, Tensor] = {}
        self._known: dict[tuple[Coder, Site], Known] = {}

    def begin(self) -> None:
        """Another call begins."""
        self._seen.clear()
        self._known.clear()

    def see(self, site: Site, tensor: Tensor) -> None:
        """A site that some units read passes, edited as it is; copied where networks may write over it later."""
        if site in self.needed:
            self._seen[site] = tensor.clone() if site.module is not None else tensor

    def apply(self, edit: Edit, value: ByUnits, site: Site, x: Tensor, batch: Batch, chunk: Chunk) -> Tensor:
        """The site's tensor after an edit of units; the same object where it does not reach this call.

        Several edits of one dictionary at a site act on the same activations, one after the other.

        Raises:
            NotSupported: units read a site that comes only after the one they write.
        """
        if edit.kind == "splice":
            return self._spliced(edit, value, site, x, batch, chunk)
        known = self._known.get((value.coder, site))
        if known is not None and known.x is not x and site in value.needs.values():
            known = None  # something else was done to what the units read
        read = self._read(edit, value, site, x)
        edited = ()
        if known is not None:  # what the units read before the first edit
            read = {**read, **known.read}
            edited = known.edited
        old = value.coder.encode(value.units, read)
        for units, activations in edited:
            mine, theirs = _shared(value.units, units, value.coder.n_units)
            old = old.index_copy(2, mine.to(old.device), activations[..., theirs.to(old.device)])
        new = apply(_of_activations(edit), value.value, UNITS, old, batch, chunk)
        if new is old:
            return x
        x = x + value.coder.decode(value.name, value.units, new - old, read).to(x).view_as(x)
        self._known[value.coder, site] = Known(x, read, (*edited, (value.units, new)))
        return x

    def _spliced(self, edit: Edit, value: ByUnits, site: Site, x: Tensor, batch: Batch, chunk: Chunk) -> Tensor:
        nowhere = x.new_zeros(*x.shape[:2], 1)
        here = apply(_of_activations(edit), 1.0, UNITS, nowhere, batch, chunk)
        if here is nowhere:
            return x
        here = here.view(*here.shape[:2], *[1] * (x.ndim - 2))
        reconstruction = value.coder.reconstruct(value.name, self._read(edit, value, site, x))
        return torch.where(here != 0, reconstruction.to(x).view_as(x), x)

    def _read(self, edit: Edit, value: ByUnits, site: Site, x: Tensor) -> Mapping[str, Tensor]:
        seen = {**self._seen, site: x}
        late = [name for name, one in value.needs.items() if one not in seen]
        if late:
            raise NotSupported(
                f"edit: {edit}",
                found=f"units that read {', '.join(late[:3])}, which comes after {value.name} that they write",
                do="edit units of an SAE or a transcoder: theirs are known when what they write passes",
            )
        return {name: seen[one].flatten(2) for name, one in value.needs.items()}


def _shared(units: tuple[int, ...], others: tuple[int, ...], n: int) -> tuple[Int[Tensor, "k"], Int[Tensor, "k"]]:
    """Units that are in both: their places in the first, and in the second."""
    place = torch.full((n,), -1)
    place[torch.tensor(others)] = torch.arange(len(others))
    there = place[torch.tensor(units)]
    mine = (there >= 0).nonzero()[:, 0]
    return mine, there[mine]
