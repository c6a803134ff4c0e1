"""Folding: what training did to inputs and lengths goes into the weights, so that a dictionary takes raw inputs."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.units import Units


def of_unit_length(dictionary: Dictionary) -> Dictionary:
    """The same function, each write vector of length 1 over all its sites: activations say how much is written.

    A unit whose write vector is zero keeps it.
    """
    found = _copy(dictionary, dictionary.architecture.of_unit_length())
    with torch.no_grad():
        for units in found.units:
            length = torch.where(units.norms > 0, units.norms, torch.ones_like(units.norms))
            units.W_dec.div_(length[:, None])
            units.W_enc.mul_(length[:, None])
            units.b_enc.mul_(length)
            _rescale(found, units, length)
    return found


def for_raw_inputs(dictionary: Dictionary, reads: Sequence[float], writes: Sequence[float]) -> Dictionary:
    """The same function for inputs x where `dictionary` takes s · x, its outputs turned back.

    Activations stay as they are. Lengths of write vectors are folded first (`of_unit_length`), since sites of
    different scale change which of them is longer.

    Args:
        dictionary: trained on scaled inputs.
        reads, writes: the factor s of each site.

    Raises:
        WrongUse: b_dec is taken off inputs of another scale than outputs, or factors do not fit or are not above zero.
    """
    if len(reads) != len(dictionary.reads) or len(writes) != len(dictionary.writes) or min(*reads, *writes) <= 0:
        raise WrongUse(
            f"fold the scale of {dictionary}", found=f"factors {list(reads)} and {list(writes)}",
            do="give one above zero for every site that is read, and one for every site that is written",
        )  # fmt: skip
    if dictionary.conventions.centred and list(reads) != list(writes):
        raise WrongUse(
            f"fold the scale of {dictionary}", found=f"factors {list(reads)} for inputs, {list(writes)} for outputs",
            do="give both the same: these units write what they read",
        )  # fmt: skip
    found = of_unit_length(dictionary)
    d_in, d_out = dictionary.geometry.d_in, dictionary.geometry.d_out
    s_in, s_out = dictionary.b_dec.new_tensor(list(reads)), dictionary.b_dec.new_tensor(list(writes))
    with torch.no_grad():
        for units in found.units:
            units.W_enc.mul_(s_in[list(units.block.reads)].repeat_interleave(d_in))
            units.W_dec.div_(s_out[list(units.block.writes)].repeat_interleave(d_out))
        found.b_dec.div_(s_out[:, None])
        if found.W_skip is not None:
            if found.W_skip.ndim == 3:
                found.W_skip.mul_((s_in / s_out)[:, None, None])
            else:
                found.W_skip.mul_(s_in.repeat_interleave(d_in) / s_out.repeat_interleave(d_out)[:, None])
    return found


def _copy(dictionary: Dictionary, architecture: Architecture) -> Dictionary:
    found = Dictionary(dictionary.geometry, architecture, dictionary.conventions, dictionary.card)
    found.to(dictionary.b_dec).load_state_dict(dictionary.state_dict())
    return found


def _rescale(dictionary: Dictionary, units: Units, factor: Float[Tensor, "u"]) -> None:
    extras = {name: units.extra(name).detach() for name in units.extras}
    for name, value in dictionary.architecture.rescaled(extras, factor).items():
        units.extra(name).copy_(value)
