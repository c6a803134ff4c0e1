"""A dictionary on one prompt: which units of each block were active, what each read and wrote, and what none did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.blockwise import Inputs, active, block_of, shift, token_sizes
from microtome.dictionary.normalising import divisor, sizes
from microtome.dictionary.sparse import decoded
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Lines:
    """What any unit of a block reads and writes on a prompt, with the size of each token held.

    Where it is active, a unit's value is Σ given[p] · (read · x) + constant over the sites that it reads; it adds
    value · returned[p] · write at each that it writes.

    Attributes:
        dictionary: whose units they are.
        number: of the block.
        given: by site, what each token is multiplied by before it is read, `[p, 1]`.
        returned: by site, what is written there is multiplied by, `[p, 1]`.
    """

    dictionary: "Dictionary"
    number: int
    given: Mapping[str, Float[Tensor, "p 1"]]
    returned: Mapping[str, Float[Tensor, "p 1"]]

    @property
    def first(self) -> int:
        """The block's first unit, as the dictionary counts them."""
        return self.dictionary.geometry.starts[self.number]

    @property
    def block(self) -> Units:
        """The units."""
        return block_of(self.dictionary, self.number)

    def reads(self, site: str, ids: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Read vectors at a site, for tokens of size one."""
        factor, _ = self.dictionary.architecture.line(self.block, ids)
        place = self.block.block.reads.index(self.dictionary.reads.index(site))
        d = self.dictionary.geometry.d_in
        read = self.block.W_enc.detach()[ids, place * d : (place + 1) * d] * factor.detach()[:, None]
        return read - read.mean(1, keepdim=True) if self.dictionary.conventions.normalised == "layer" else read

    def constants(self, ids: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What each has without any input."""
        factor, constant = self.dictionary.architecture.line(self.block, ids)
        off = shift(self.dictionary, self.block)
        if off is not None:
            constant = constant - factor * (self.block.W_enc[ids] @ off)
        return constant.detach()

    def writes(self, site: str, ids: Int[Tensor, "n"]) -> Float[Tensor, "n e"]:
        """What one unit of activation writes at a site, for tokens of size one."""
        place = self.block.block.writes.index(self.dictionary.writes.index(site))
        d = self.dictionary.geometry.d_out
        return self.block.W_dec.detach()[ids, place * d : (place + 1) * d]


@dataclass(frozen=True, eq=False)
class At:
    """Active units of one block on one prompt of `p` positions, position after position.

    Attributes:
        ids: units, counted from the block's first, `[n]`.
        positions: where they are active, `[n]`.
        values: activations, `[n]`.
        lines: what any of the block's units reads and writes, active or not.
        errors: by site that the block writes, what is there less the dictionary's reconstruction, `[p, e]`.
    """

    ids: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    values: Float[Tensor, "n"]
    lines: Lines
    errors: Mapping[str, Float[Tensor, "p e"]]

    @property
    def constant(self) -> Float[Tensor, "n"]:
        """What each has without any input."""
        return self.lines.constants(self.ids)

    def read(self, site: str) -> Float[Tensor, "n d"]:
        """What each reads of a site at its position."""
        return self.lines.reads(site, self.ids) * self.lines.given[site][self.positions]

    def write(self, site: str) -> Float[Tensor, "n e"]:
        """What one unit of activation adds to a site at its position."""
        return self.lines.writes(site, self.ids) * self.lines.returned[site][self.positions]


@dataclass(frozen=True, eq=False)
class Beside:
    """What stands at a site that a dictionary writes, beside its units: Σ value · write + bias + skip · x + error.

    Attributes:
        bias: what is written without any unit, `[p, e]`.
        skip: what reaches the site of the same number beside the units, `[e, d]`, or None.
        error: what is there less the reconstruction, `[p, e]`.
    """

    bias: Float[Tensor, "p e"]
    skip: Float[Tensor, "e d"] | None
    error: Float[Tensor, "p e"]


def at(dictionary: "Dictionary", number: int, inputs: Inputs, outputs: Inputs) -> At:
    """See `Dictionary.at`."""
    if not 0 <= number < len(dictionary.geometry.blocks):
        raise SiteNotFound(
            f"look at block {number} of {dictionary}",
            found=f"blocks 0 to {len(dictionary.geometry.blocks) - 1}",
            do="name one of them",
        )
    own = [dictionary.writes[one] for one in dictionary.geometry.blocks[number].writes]
    together = [
        i for i, block in dictionary.geometry.numbered if any(dictionary.writes[one] in own for one in block.writes)
    ]
    blocks, beside = on_prompt(dictionary, inputs, {site: outputs[site] for site in own}, together)
    found = blocks[together.index(number)]
    return At(found.ids, found.positions, found.values, found.lines, {site: beside[site].error for site in own})


def on_prompt(
    dictionary: "Dictionary", inputs: Inputs, outputs: Inputs, numbers: Sequence[int]
) -> tuple[list[At], dict[str, Beside]]:
    """Blocks of a dictionary on a prompt, and what stands beside their units at each site of `outputs`.

    Args:
        dictionary: whose blocks.
        inputs, outputs: what stands at the sites that the blocks read and write.
        numbers: of the blocks: all that write one of those outputs.
    """
    with torch.no_grad():
        inputs, outputs = ({site: x.to(dictionary.b_dec) for site, x in side.items()} for side in (inputs, outputs))
        made = {site: _bias(dictionary, site, inputs, outputs[site]) for site in outputs}
        units = {site: torch.zeros_like(bias) for site, bias in made.items()}
        blocks = []
        for number in numbers:
            one = active(dictionary, number, inputs)
            picks, values = one.picks.where(one.firing), one.values[one.firing]
            lines = _lines(dictionary, number, inputs)
            blocks.append(At(picks.ids, picks.rows, values, lines, {}))
            wrote = decoded(values, lines.block.W_dec, picks).unflatten(1, (len(lines.returned), -1))
            for i, (site, size) in enumerate(lines.returned.items()):
                if site in units:
                    units[site] = units[site] + wrote[:, i] * size
        beside = {}
        for site, bias in made.items():
            skip, rebuilt = _skip(dictionary, site), bias + units[site]
            if skip is not None:
                rebuilt = rebuilt + inputs[dictionary.reads[dictionary.writes.index(site)]] @ skip.T
            beside[site] = Beside(bias, skip, outputs[site] - rebuilt)
        return blocks, beside


def _lines(dictionary: "Dictionary", number: int, inputs: Inputs) -> Lines:
    block, how = dictionary.geometry.blocks[number], dictionary.conventions.normalised
    given, returned = {}, {}
    for one in block.reads:
        site = dictionary.reads[one]
        size = sizes(inputs[site], how)[1]
        given[site] = inputs[site].new_ones(len(inputs[site]), 1) if size is None else 1 / divisor(size, how)
    like = next(iter(given.values()))
    for one in block.writes:
        size = token_sizes(dictionary, one, inputs)[1]
        returned[dictionary.writes[one]] = torch.ones_like(like) if size is None else size
    return Lines(dictionary, number, given, returned)


def _bias(dictionary: "Dictionary", site: str, inputs: Inputs, output: Float[Tensor, "p e"]) -> Float[Tensor, "p e"]:
    """What is written at a site without any unit.

    Raises:
        WrongUse: another width than the dictionary writes.
    """
    number, width = dictionary.writes.index(site), dictionary.geometry.d_out
    if output.shape[1] != width:
        raise WrongUse(
            f"take {dictionary} as a basis at {site}",
            found=f"{output.shape[1]} numbers a token, where its units write {width}",
            do="open the model that it was trained on",
        )
    bias = dictionary.b_dec[number].detach().expand(len(output), -1)
    mean, size = token_sizes(dictionary, number, inputs)
    return bias if size is None else bias * size + mean


def _skip(dictionary: "Dictionary", site: str) -> Float[Tensor, "e d"] | None:
    """The map to a site beside the units: the only one, or that of its pair of sites.

    Raises:
        NotSupported: one map between several sites.
    """
    skip = dictionary.W_skip
    if skip is None:
        return None
    if skip.ndim == 2 and len(dictionary.reads) + len(dictionary.writes) > 2:
        raise NotSupported(
            f"take {dictionary} as a basis",
            found="one skip between several sites",
            do="give a dictionary whose skip leads from one site to another",
        )
    return (skip if skip.ndim == 2 else skip[dictionary.writes.index(site)]).detach()
