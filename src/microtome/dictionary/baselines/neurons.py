"""Raw neurons: a site's own axes. Is a dictionary any better than what the network came with?"""

import torch

from microtome.dictionary.baseline import BASELINES, Wanted
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.directions import of_directions


@BASELINES.register("neurons", summary="the site's own axes, the k largest by absolute value")
def neurons(wanted: Wanted) -> Dictionary:
    """A unit an axis: the identity reads and writes. Without `k` it reconstructs exactly.

    Raises:
        WrongUse: the geometry is not of one site.
    """
    site, d = wanted.one_site("neurons")
    return of_directions(site, torch.eye(d), wanted.k)
