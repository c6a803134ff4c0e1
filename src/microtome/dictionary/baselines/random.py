"""Random directions: as many as a dictionary has units, and what they reach by their number alone."""

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.dictionary.baseline import BASELINES, Wanted
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.directions import of_directions


@BASELINES.register("random", summary="seeded unit vectors, the k that each token lies along most")
def random(wanted: Wanted) -> Dictionary:
    """Unit vectors drawn from the sphere, each read and written.

    Where activations are given, their mean is taken off first, and one factor on all write vectors makes the
    reconstruction as good as it can be: directions that overlap say the same thing several times.

    Raises:
        WrongUse: the geometry is not of one site, or the activations are of another width.
    """
    site, d = wanted.one_site("random")
    draw = torch.Generator().manual_seed(wanted.seed)
    vectors = torch.randn(wanted.geometry.n_units, d, generator=draw)
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    if wanted.x is None:
        return of_directions(site, vectors, wanted.k)
    x = wanted.activations("random").float()
    made = of_directions(site, vectors, wanted.k, mean=x.mean(0))
    _fit_length(made, x)
    return made


def _fit_length(made: Dictionary, x: Float[Tensor, "t d"]) -> None:
    """Least squares with one unknown: x − mean ≈ factor · what the units write."""
    mean = made.b_dec[0].detach()
    reconstructed = made.reconstruct(x) - mean
    factor = ((x - mean) * reconstructed).sum() / reconstructed.square().sum().clamp(min=1e-30)
    with torch.no_grad():
        for units in made.units:
            units.W_dec.mul_(factor)
