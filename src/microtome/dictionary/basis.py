"""A dictionary as the basis of a prompt: units that were active in one layer's MLP, with what each read and wrote."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.geometry import Block
from microtome.dictionary.normalising import divisor, normal, sizes
from microtome.dictionary.sparse import decoded
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Lines:
    """What any unit of a block reads and writes on a prompt, with the size of each token held.

    Where it is active, a unit's value is given[p] · (read · x) + constant; it adds value · returned[p] · write.

    Attributes:
        dictionary: whose units they are.
        number: of the block.
        given: what each token is multiplied by before it is read, `[p, 1]`.
        returned: what is written there is multiplied by, `[p, 1]`.
    """

    dictionary: "Dictionary"
    number: int
    given: Float[Tensor, "p 1"]
    returned: Float[Tensor, "p 1"]

    @property
    def first(self) -> int:
        """The block's first unit, as the dictionary counts them."""
        return self.dictionary.geometry.starts[self.number]

    @property
    def block(self) -> Units:
        """The units."""
        return list(self.dictionary.units)[self.number]

    def reads(self, ids: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Read vectors, for tokens of size one."""
        factor, _ = self.dictionary.architecture.line(self.block, ids)
        read = self.block.W_enc.detach()[ids] * factor.detach()[:, None]
        return read - read.mean(1, keepdim=True) if self.dictionary.conventions.normalised == "layer" else read

    def constants(self, ids: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What each has without any input."""
        return self.dictionary.architecture.line(self.block, ids)[1].detach()

    def writes(self, ids: Int[Tensor, "n"]) -> Float[Tensor, "n e"]:
        """What one unit of activation writes, for tokens of size one."""
        return self.block.W_dec.detach()[ids]


@dataclass(frozen=True, eq=False)
class At:
    """Active units of one layer on one prompt of `p` positions, position after position.

    Each value is `read · x + constant` at its position, and the MLP's output is
    Σ values · write + bias + skip · x + error.

    Attributes:
        ids: units, counted from the layer's first, `[n]`.
        positions: where they are active, `[n]`.
        values: activations, `[n]`.
        bias: what is written without any unit, `[p, e]`.
        skip: what reaches the output beside the units, `[e, d]`, or None.
        error: the MLP's output less the reconstruction, `[p, e]`.
        lines: what any of the layer's units reads and writes, active or not.
    """

    ids: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    values: Float[Tensor, "n"]
    bias: Float[Tensor, "p e"]
    skip: Float[Tensor, "e d"] | None
    error: Float[Tensor, "p e"]
    lines: Lines

    @property
    def read(self) -> Float[Tensor, "n d"]:
        """What each reads of the MLP's input at its position."""
        return self.lines.reads(self.ids) * self.lines.given[self.positions]

    @property
    def constant(self) -> Float[Tensor, "n"]:
        """What each has without any input."""
        return self.lines.constants(self.ids)

    @property
    def write(self) -> Float[Tensor, "n e"]:
        """What one unit of activation adds to the MLP's output at its position."""
        return self.lines.writes(self.ids) * self.lines.returned[self.positions]


def at(dictionary: "Dictionary", layer: int, x: Float[Tensor, "p d"], y: Float[Tensor, "p e"]) -> At:
    """See `Dictionary.at`."""
    number = _block(dictionary, layer)
    units = list(dictionary.units)[number]
    widths = (dictionary.geometry.d_in, dictionary.geometry.d_out)
    if (x.shape[1], y.shape[1]) != widths:
        raise WrongUse(
            f"take {dictionary} as the basis of layer {layer}",
            found=f"an MLP from {x.shape[1]} to {y.shape[1]} numbers",
            do=f"open the model that it was trained on: this one is from {widths[0]} to {widths[1]}",
        )
    with torch.no_grad():
        x, y = x.to(dictionary.b_dec), y.to(dictionary.b_dec)
        how = dictionary.conventions.normalised
        active = dictionary.architecture.activate(units, normal(x, how), None)
        picks = active.picks.where(active.firing)
        values, rows = active.values[active.firing], picks.rows
        bias = dictionary.b_dec[dictionary.writes.index(f"mlp.out.{layer}")].expand(len(x), -1)
        mean, size = sizes(x, how)
        ones = x.new_ones(len(x), 1)
        given, returned = (ones, ones) if size is None else (1 / divisor(size, how), size)
        bias = bias * returned + mean
        skip = _skip(dictionary, layer)
        said = bias + decoded(values, units.W_dec, picks) * returned
        error = y - (said if skip is None else said + x @ skip.T)
        return At(picks.ids, rows, values, bias, skip, error, Lines(dictionary, number, given, returned))


def layers_of(dictionary: "Dictionary") -> tuple[int, ...]:
    """Layers for whose MLP it has units, each with a block of its own.

    Raises:
        NotSupported: some units are of no one MLP: an SAE's, a crosscoder's, a cross-layer transcoder's.
        SiteNotFound: two blocks are of one layer.
    """
    geometry = dictionary.geometry
    ends = (("mlp.in.", geometry.reads), ("mlp.out.", geometry.writes))
    named = (one.removeprefix(start) for start, sites in ends for one in sites if one.startswith(start))
    found = {layer: _block(dictionary, layer) for layer in sorted({int(name) for name in named})}
    for i, block in geometry.numbered:
        if i not in found.values():
            wanted = "whose units read mlp.in.L and write mlp.out.L alone"
            raise _elsewhere(f"take {dictionary} as a basis", dictionary, block, wanted)
    return tuple(found)


def _skip(dictionary: "Dictionary", layer: int) -> Float[Tensor, "e d"] | None:
    """The map beside the units of a layer: the only one, or that of its pair of sites."""
    skip = dictionary.W_skip
    if skip is None:
        return None
    return (skip if skip.ndim == 2 else skip[dictionary.writes.index(f"mlp.out.{layer}")]).detach()


def _block(dictionary: "Dictionary", layer: int) -> int:
    """Which block makes what the MLP of a layer writes from what it reads."""
    geometry, asked = dictionary.geometry, (f"mlp.in.{layer}", f"mlp.out.{layer}")
    what, found = f"take {dictionary} as the basis of layer {layer}", []
    for i, block in geometry.numbered:
        reads, writes = [geometry.reads[j] for j in block.reads], [geometry.writes[j] for j in block.writes]
        if asked[0] in reads or asked[1] in writes:
            found.append(i)
            crossed = dictionary.W_skip is not None and block.reads != block.writes
            if (reads, writes) != ([asked[0]], [asked[1]]) or crossed:
                raise _elsewhere(what, dictionary, block, f"whose units read {asked[0]} and write {asked[1]} alone")
    if len(found) != 1:
        raise SiteNotFound(
            what,
            found=f"{len(found)} blocks of units from {asked[0]} to {asked[1]}",
            do="give a dictionary with one block for each layer",
        )
    return found[0]


def _elsewhere(what: str, dictionary: "Dictionary", block: Block, wanted: str) -> NotSupported:
    reads = [dictionary.reads[j] for j in block.reads]
    writes = [dictionary.writes[j] for j in block.writes]
    return NotSupported(
        what,
        found=f"units that read {', '.join(reads[:3])} and write {', '.join(writes[:3])}",
        do=f"give transcoders, {wanted}",
    )
