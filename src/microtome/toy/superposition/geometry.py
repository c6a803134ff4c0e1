"""How features share dimensions: their dimensionality, what they do to one another, and the shapes that they form.

Elhage et al. 2022, sections 3 and 4. With G = W Wᵀ of a model's feature directions:

    D_i = ‖W_i‖² / Σⱼ (Ŵ_i · W_j)² = G_ii² / (G²)_ii

D_i is at most the i-th diagonal of the projector on the range of G, so the D_i sum up to at most the rank of W, with
equality where W is an orthogonal sum of tight frames (all features of a frame then share its dimensions evenly).
"""

from dataclasses import dataclass
from fractions import Fraction

import torch
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components
from torch import Tensor

# The uniform frames of few dimensions that the paper finds, as (features, dimensions) of a part of the graph.
SHAPES = {
    (1, 1): "dedicated dimension",
    (2, 1): "antipodal pair",
    (3, 2): "triangle",
    (4, 3): "tetrahedron",
    (5, 2): "pentagon",
    (8, 3): "square antiprism",
}
STICKY = tuple(Fraction(m, n) for n, m in SHAPES)
REPRESENTED = 0.5  # ‖W_i‖² above which a feature counts as represented
LINKED = 0.05  # |Ŵ_i · Ŵ_j| above which two features interfere


def norms(weights: Float[Tensor, "i n m"]) -> Float[Tensor, "i n"]:
    """‖W_i‖: near 1 where a feature is represented, near 0 where it is not."""
    return torch.linalg.vector_norm(weights, dim=2)


def dimensionality(weights: Float[Tensor, "i n m"]) -> Float[Tensor, "i n"]:
    """D_i: the share of a dimension that a feature has for itself; 0 for a feature without a direction."""
    gram = weights @ weights.mT
    own = gram.diagonal(dim1=1, dim2=2)
    all_of = gram.square().sum(2)
    return torch.where(all_of > 0, own.square() / all_of.clamp_min(torch.finfo(gram.dtype).tiny), 0)


def interference(weights: Float[Tensor, "i n m"]) -> Float[Tensor, "i n"]:
    """√Σⱼ (Ŵ_i · W_j)² over the other features: how much of them reads as this one."""
    gram = weights @ weights.mT
    across = gram / norms(weights).clamp_min(torch.finfo(gram.dtype).tiny)[:, :, None]
    across.diagonal(dim1=1, dim2=2).zero_()
    return torch.linalg.vector_norm(across, dim=2)


def dimensions_per_feature(weights: Float[Tensor, "i n m"]) -> Float[Tensor, "i"]:
    """D* = m / ‖W‖²: dimensions over the number of features represented, as the sum of their squared norms."""
    return weights.shape[2] / weights.square().sum((1, 2))


@dataclass(frozen=True)
class Shape:
    """A part of a model's features that interfere with one another and with no others.

    Attributes:
        features: which.
        rank: dimensions that they span.
        name: of the shape that has so many features in so many dimensions, where one has a name: see `SHAPES`.
            Whether it is the regular one, its dimensionalities tell.
    """

    features: tuple[int, ...]
    rank: int

    @property
    def name(self) -> str:
        """As it is called, or as features in dimensions."""
        known = SHAPES.get((len(self.features), self.rank))
        return known or f"{len(self.features)} features in {self.rank} dimensions"


def shapes(weights: Float[Tensor, "n m"], *, linked: float = LINKED) -> list[Shape]:
    """The parts of a model's graph of interference, over the features that are represented; largest first.

    Args:
        weights: of one model.
        linked: cosine, either sign, from which two features count as interfering.
    """
    length = torch.linalg.vector_norm(weights, dim=1)
    there = (length.square() > REPRESENTED).nonzero().flatten()
    if not len(there):
        return []
    unit = weights[there] / length[there, None]
    count, part = connected_components(((unit @ unit.T).abs() > linked).numpy(), directed=False)
    found = []
    for number in range(count):
        of = torch.from_numpy(part == number)
        spread = torch.linalg.svdvals(unit[of])
        rank = int((spread.square() > linked * spread.square().max()).sum())
        found.append(Shape(tuple(there[of].tolist()), rank))
    return sorted(found, key=lambda one: (-len(one.features), one.features))
