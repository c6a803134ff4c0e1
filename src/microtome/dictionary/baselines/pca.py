"""Principal components: the directions of most variance, which no other linear code of as many units beats."""

import torch

from microtome.dictionary.baseline import BASELINES, Wanted
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.directions import of_directions


@BASELINES.register("pca", summary="principal components of given activations, the k strongest of each token")
def pca(wanted: Wanted) -> Dictionary:
    """A unit a component, the largest variance first, as many as asked and the activations can tell apart.

    In float64, from the covariance; a component's largest entry is positive, so that equal activations give
    equal units.

    Raises:
        WrongUse: the geometry is not of one site, or there are no activations.
    """
    site, d = wanted.one_site("pca")
    x = wanted.activations("pca").double()
    mean = x.mean(0)
    vectors = torch.linalg.eigh((x - mean).T @ (x - mean)).eigenvectors.flip(1).T
    vectors = vectors[: min(d, len(x) - 1, wanted.geometry.n_units)]
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return of_directions(site, (vectors * largest.sign()).float(), wanted.k, mean=mean.float())
