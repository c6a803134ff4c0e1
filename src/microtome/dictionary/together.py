"""Several dictionaries as one: a block for each, so that a set for all layers is one dictionary."""

from collections.abc import Sequence

import torch
from torch import Tensor

from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import Block, Geometry


def together(dictionaries: Sequence[Dictionary], card: RunCard | None = None) -> Dictionary:
    """The dictionaries of several layers as one, block after block; codes and weights stay as they are.

    Args:
        dictionaries: each of one block that reads one site and writes one, no site twice; of one architecture with one
            set of settings, and of the same widths and conventions.
        card: how they were made.

    Raises:
        WrongUse: there is none, or they do not fit together; the message names the first that does not.
    """
    if not dictionaries:
        raise WrongUse("put dictionaries together", found="none", do="give one or more")
    first = dictionaries[0]
    for one in dictionaries:
        alike = one.architecture == first.architecture and one.conventions == first.conventions
        widths = (one.geometry.d_in, one.geometry.d_out) == (first.geometry.d_in, first.geometry.d_out)
        single = len(one.geometry.blocks) == len(one.reads) == len(one.writes) == 1
        if not (alike and widths and single):
            raise WrongUse(
                f"put {len(dictionaries)} dictionaries together", found=f"{one} beside {first}",
                do="give dictionaries that read one site and write one, of one architecture, width and convention",
            )  # fmt: skip
    reads = [site for one in dictionaries for site in one.reads]
    writes = [site for one in dictionaries for site in one.writes]
    for sites in (reads, writes):
        if len(set(sites)) < len(sites):
            raise WrongUse("put dictionaries together", found=f"the sites {', '.join(sites)}", do="give one of each")
    blocks = tuple(Block((i,), (i,), one.n_units) for i, one in enumerate(dictionaries))
    geometry = Geometry(tuple(reads), tuple(writes), first.geometry.d_in, first.geometry.d_out, blocks)
    made = Dictionary(geometry, first.architecture, first.conventions, card)
    made.to(first.b_dec).load_state_dict(_state(dictionaries))
    return made


def _state(dictionaries: Sequence[Dictionary]) -> dict[str, Tensor]:
    state = {"b_dec": torch.cat([one.b_dec.detach() for one in dictionaries])}
    for i, one in enumerate(dictionaries):
        state |= {
            name.replace("blocks.0.", f"blocks.{i}."): tensor
            for name, tensor in one.state_dict().items()
            if name.startswith("blocks.0.")
        }
    skips = [one.W_skip.detach() for one in dictionaries if one.W_skip is not None]
    if skips:
        state["W_skip"] = skips[0] if len(skips) == 1 else torch.stack(skips)
    return state
