"""Several dictionaries as one: the transcoders of all layers, trained apart, are one basis of a model."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Block, Geometry
from microtome.dictionary.saving import FORMAT, KIND


def joined(dictionaries: Sequence[Dictionary]) -> Dictionary:
    """One dictionary with the blocks of all, in their order.

    Args:
        dictionaries: of different sites, alike in all else.

    Raises:
        WrongUse: there are none, two share a site, their settings differ, or they have skips, whose joint matrix
            would be mostly zeros.
    """
    what = f"join {len(dictionaries)} dictionaries"
    if not dictionaries:
        raise WrongUse(what, found="none", do="give one or more")
    first = dictionaries[0]
    for one in dictionaries[1:]:
        if _settings(one) != _settings(first):
            raise WrongUse(
                what, found=f"{_settings(first)} of {first} and {_settings(one)} of {one}",
                do="join dictionaries of the same settings and widths",
            )  # fmt: skip
    geometry = _side_by_side([one.geometry for one in dictionaries])
    for sites in (geometry.reads, geometry.writes):
        if twice := [site for i, site in enumerate(sites) if site in sites[:i]]:
            raise WrongUse(what, found=f"two of {twice[0]}", do="join dictionaries of different sites")
    if first.W_skip is not None and len(dictionaries) > 1:
        raise WrongUse(what, found="skips beside their units", do="use them one by one")
    cards = [None if one.card is None else one.card.to_dict() for one in dictionaries]
    card = RunCard(KIND, FORMAT, config={"joined": cards})
    made = Dictionary(geometry, first.architecture, first.conventions, card)
    made.to(first.b_dec)
    with torch.no_grad():
        made.b_dec.copy_(torch.cat([one.b_dec for one in dictionaries]))
        blocks = [units for one in dictionaries for units in one.units]
        for units, own in zip(made.units, blocks, strict=True):
            units.load_state_dict(own.state_dict())
    return made


def _settings(one: Dictionary) -> tuple[Architecture, Conventions, tuple[int, int]]:
    return one.architecture, one.conventions, (one.geometry.d_in, one.geometry.d_out)


def _side_by_side(parts: list[Geometry]) -> Geometry:
    blocks: list[Block] = []
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    for one in parts:
        for block in one.blocks:
            here = tuple(i + len(reads) for i in block.reads)
            blocks.append(Block(here, tuple(i + len(writes) for i in block.writes), block.units))
        reads, writes = (*reads, *one.reads), (*writes, *one.writes)
    return replace(parts[0], reads=reads, writes=writes, blocks=tuple(blocks))
