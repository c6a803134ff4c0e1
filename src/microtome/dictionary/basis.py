"""A dictionary as the basis of a prompt: units that were active in one layer's MLP, with what each read and wrote."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.normalising import divisor, normal, sizes

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class At:
    """Active units of one layer on one prompt of `p` positions, position after position.

    Each value is `read · x + constant` at its position, and the MLP's output is
    Σ values · write + bias + skip · x + error.

    Attributes:
        ids: units, counted from the layer's first, `[n]`.
        positions: where they are active, `[n]`.
        values: activations, `[n]`.
        read: what each reads of the MLP's input at its position, `[n, d]`.
        constant: what each has without any input, `[n]`.
        write: what one unit of activation adds to the MLP's output there, `[n, e]`.
        bias: what is written without any unit, `[p, e]`.
        skip: what reaches the output beside the units, `[e, d]`, or None.
        error: the MLP's output less the reconstruction, `[p, e]`.
    """

    ids: Int[Tensor, "n"]
    positions: Int[Tensor, "n"]
    values: Float[Tensor, "n"]
    read: Float[Tensor, "n d"]
    constant: Float[Tensor, "n"]
    write: Float[Tensor, "n e"]
    bias: Float[Tensor, "p e"]
    skip: Float[Tensor, "e d"] | None
    error: Float[Tensor, "p e"]


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
        factor, constant = dictionary.architecture.line(units, picks.ids)
        read, write = units.W_enc[picks.ids] * factor[:, None], units.W_dec[picks.ids]
        bias = dictionary.b_dec[dictionary.writes.index(f"mlp.out.{layer}")].expand(len(x), -1)
        mean, size = sizes(x, how)
        if size is not None:
            read = (read - read.mean(1, keepdim=True) if how == "layer" else read) / divisor(size, how)[rows]
            write, bias = write * size[rows], bias * size + mean
        skip = None if dictionary.W_skip is None else dictionary.W_skip.detach()
        said = bias.index_add(0, rows, values[:, None] * write)
        error = y - (said if skip is None else said + x @ skip.T)
        return At(picks.ids, rows, values, read, constant, write, bias, skip, error)


def _block(dictionary: "Dictionary", layer: int) -> int:
    """Which block makes what the MLP of a layer writes from what it reads."""
    geometry, asked = dictionary.geometry, (f"mlp.in.{layer}", f"mlp.out.{layer}")
    found = []
    for i, block in geometry.numbered:
        reads, writes = [geometry.reads[j] for j in block.reads], [geometry.writes[j] for j in block.writes]
        if asked[0] in reads or asked[1] in writes:
            found.append(i)
            if (reads, writes) != ([asked[0]], [asked[1]]) or (
                dictionary.W_skip is not None and len(geometry.reads) > 1
            ):
                raise NotSupported(
                    f"take {dictionary} as the basis of layer {layer}",
                    found=f"units that read {', '.join(reads[:3])} and write {', '.join(writes[:3])}",
                    do=f"give transcoders, whose units read {asked[0]} and write {asked[1]} alone",
                )
    if len(found) != 1:
        raise SiteNotFound(
            f"take {dictionary} as the basis of layer {layer}",
            found=f"{len(found)} blocks of units from {asked[0]} to {asked[1]}",
            do="give a dictionary with one block for each layer",
        )
    return found[0]
