"""One block of a dictionary on the sites that it reads: normalise, activate, and write at each of its sites."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import Active
from microtome.dictionary.normalising import normal, sizes
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary

Inputs = Mapping[str, Float[Tensor, "t _"]]
"""Sites by name, a row a token."""


def block_of(dictionary: "Dictionary", number: int) -> Units:
    """A block's units, by its number."""
    return list(dictionary.units)[number]


def active(dictionary: "Dictionary", number: int, inputs: Inputs) -> Active:
    """What the units of a block do with inputs.

    Raises:
        WrongUse: another width than they read.
    """
    units = block_of(dictionary, number)
    sites = [dictionary.reads[one] for one in units.block.reads]
    x = torch.stack([inputs[site] for site in sites], 1)
    if x.shape[2] != dictionary.geometry.d_in:
        raise WrongUse(
            f"read {', '.join(sites)} with {dictionary}",
            found=f"{x.shape[2]} numbers a token, where its units read {dictionary.geometry.d_in}",
            do="use a dictionary of this model, or name its sites as they are here",
        )
    given = normal(x, dictionary.conventions.normalised).flatten(1)
    return dictionary.architecture.activate(units, given, shift(dictionary, units))


def shift(dictionary: "Dictionary", units: Units) -> Float[Tensor, "rd"] | None:
    """What is taken off what a block reads, where the dictionary takes b_dec off first."""
    return dictionary.b_dec[list(units.block.reads)].flatten() if dictionary.conventions.centred else None


def token_sizes(dictionary: "Dictionary", write: int, inputs: Inputs) -> tuple[Tensor | float, Tensor | None]:
    """What was taken off each token whose size a written site takes on, and that size; None without normalising."""
    if dictionary.conventions.normalised == "no":
        return 0.0, None
    return sizes(inputs[dictionary.reads[measured_at(dictionary, write)]], dictionary.conventions.normalised)


def measured_at(dictionary: "Dictionary", write: int) -> int:
    """Which read site's size a written one takes on: its partner's, or that of the only one that is read."""
    return write if len(dictionary.reads) > 1 else 0


def write_vectors(units: Units, write: int) -> Float[Tensor, "u e"]:
    """What a block's units write at one of the dictionary's sites."""
    vectors = units.W_dec.view(len(units.W_dec), len(units.block.writes), -1)
    return vectors[:, units.block.writes.index(write)].contiguous()


def line_value(dictionary: "Dictionary", number: int, unit: int, inputs: Inputs) -> Float[Tensor, "t"]:
    """A unit's activation on each token, with gradients to the inputs: a line where it is active, zero elsewhere."""
    units, how = block_of(dictionary, number), dictionary.conventions.normalised
    own = torch.tensor([unit - dictionary.geometry.starts[number]], device=units.W_enc.device)
    x = torch.stack([inputs[dictionary.reads[one]] for one in units.block.reads], 1).to(units.W_enc)
    given, off = normal(x, how).flatten(1), shift(dictionary, units)
    factor, constant = dictionary.architecture.line(units, own)
    line = factor * ((given if off is None else given - off) @ units.W_enc[own[0]]) + constant
    with torch.no_grad():
        found = active(dictionary, number, {site: one.detach() for site, one in inputs.items()})
        here = found.picks.rows[(found.picks.ids == own) & found.firing]
    return torch.zeros_like(line).index_copy(0, here, line[here])
