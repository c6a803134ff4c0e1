"""A probe's direction: one unit, whose activation is what the probe says before its threshold."""

import torch

from microtome.core.errors import WrongUse
from microtome.dictionary.baseline import BASELINES, Wanted
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.directions import of_directions


@BASELINES.register("probe", summary="one given direction and its bias")
def probe(wanted: Wanted) -> Dictionary:
    """One unit that reads vector · x + bias. To change its activation moves the site along the vector just so far.

    What it writes without being active is the point of the boundary nearest to the origin, so that the
    reconstruction is exactly what the site has along the vector.

    Raises:
        WrongUse: the geometry is not of one site, or there is no vector of its width.
    """
    site, d = wanted.one_site("probe")
    vector = wanted.vector
    if vector is None or len(vector) != d or not bool(vector.any()):
        found = "no vector"
        if vector is not None:
            found = f"a vector of {len(vector)} numbers, {int(vector.count_nonzero())} of them other than 0"
        raise WrongUse("make the baseline 'probe'", found=found, do=f"give vector=, a direction of width {d}")
    made = of_directions(site, vector[None])
    with torch.no_grad():
        for units in made.units:
            units.b_enc.fill_(wanted.bias)
            made.b_dec.copy_(-wanted.bias * units.W_dec)
    return made
