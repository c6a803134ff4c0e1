"""Similarity of two dictionaries: whether units of one, trained from another seed, are found in the other."""

import numpy as np
import torch
from jaxtyping import Float
from scipy import optimize
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.items import doubled
from microtome.metrics.metric import Metric, PerItem, metric

# Cosines that are held at once, so that memory stays bounded for many units.
BLOCK = 16_000_000


def random_directions(n_units: int, d: int, seed: int = 0) -> Float[Tensor, "u d"]:
    """Directions drawn evenly from the sphere, norm 1: the null of every similarity, [u, d].

    The largest of m cosines with random directions lies below √(2 ln m / d) on average, which is far from zero: 0.14
    of 16,384 in 768 dimensions.
    """
    drawn = torch.randn(n_units, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn / drawn.norm(dim=1, keepdim=True)).float()


class OverUnits(Metric):
    """A mean over vectors (units, or features), which are the items."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[np.ndarray] = []

    def value(self) -> float:
        """The mean over all vectors that were added.

        Raises:
            WrongUse: no units were added.
        """
        return float(self.per_item().numerators.mean())

    def per_item(self) -> PerItem:
        """The vectors in the order in which they were added, what each scores, and ones.

        Raises:
            WrongUse: no units were added.
        """
        if not sum(map(len, self._parts)):
            found = "no units were added"
            raise WrongUse(f"take the value of {self.name}", found=found, do="add the units of both dictionaries")
        scores = np.concatenate(self._parts).astype(np.float64)
        return PerItem(np.arange(len(scores)), scores, np.ones(len(scores)))


@metric(summary="mean over the units of one dictionary of the best cosine in another (MMCS)")
class MeanMaxCosine(OverUnits):
    """Mean over the units of a of the largest cosine with a unit of b; MMCS.

        MMCS(a → b) = mean over i of max over j of cos(a_i, b_j)

    Not symmetric: a small dictionary is found in a large one that contains it, and not the other way. Make one of each
    direction and report both. Vectors are write vectors as a rule; say which. Sharkey et al. 2022.

    Unit: none. Range: [−1, 1]; 1 where every unit of a stands in b. Higher is better.

    When it misleads:
        - Random directions do not score 0 but nearly √(2 ln m / d): set it against `random_directions`.
        - Several units of a may claim the same one of b; `shared_fraction` allows each only once.
        - Dead units keep their initial directions, which pulls the mean towards the null's: say whether they are in.
    """

    name, unit, better, best = "mean_max_cosine", "1", "higher", 1.0

    def add(self, a: Float[Tensor, "u d"], b: Float[Tensor, "v d"]) -> None:
        """Adds units of a, to be looked for among all of b.

        Args:
            a: vectors of some units, [u, d].
            b: vectors of all units of the other dictionary, [v, d].

        Raises:
            WrongUse: widths that differ, or a vector of zero.
        """
        left, right = _directions(self.name, a), _directions(self.name, b)
        _same_width(self.name, left, right)
        rows = max(1, BLOCK // len(right))
        self._parts += [(part @ right.T).amax(1).cpu().numpy() for part in left.split(rows)]


@metric(summary="share of units with a partner in another dictionary, by both encoder and decoder")
class SharedFraction(OverUnits):
    """Share of the units of a that have a partner of their own in b.

    Units are matched one to one so that the sum over pairs of both cosines, of the read and of the write vectors, is
    the largest there is (Hungarian method, scipy). A pair is shared where both of its cosines are above 0.7.

        shared = #{i: cos(read_a_i, read_b_π(i)) > 0.7 and cos(write_a_i, write_b_π(i)) > 0.7} / #a

    After Paulo and Belrose 2025, arXiv:2501.16615, who found about 0.3 between two seeds for 131,072 latents. One
    matching by the sum of both cosines is ours. Unit: none. Range: [0, 1]; 1 where b is a in another order. Higher is
    better.

    When it misleads:
        - It falls with the number of units: compare dictionaries of one size.
        - What is not shared need not be noise: one dictionary may split what the other joins.
        - Dead units have no partner; say whether they were left out.

    Time grows with the cube of the units, memory with their square: 4,096 units take 2.5 s on one core and 650 MB.

    Args:
        above: the cosine above which a pair counts as shared.

    Raises:
        WrongUse: a threshold outside (−1, 1).
    """

    name, unit, better, best = "shared_fraction", "1", "higher", 1.0

    def __init__(self, above: float = 0.7):
        if not -1 < above < 1:
            raise WrongUse(f"measure {self.name}", found=f"a cosine above {above:g}", do="give one in (−1, 1)")
        super().__init__()
        self.above = above

    def add(
        self,
        reads_a: Float[Tensor, "u d"],
        writes_a: Float[Tensor, "u w"],
        reads_b: Float[Tensor, "v d"],
        writes_b: Float[Tensor, "v w"],
    ) -> None:
        """Adds two dictionaries, or two blocks of them that may only be matched with each other.

        Args:
            reads_a: read vectors (encoder) of a, [u, d].
            writes_a: write vectors (decoder) of a, [u, w].
            reads_b: read vectors of b, [v, d].
            writes_b: write vectors of b, [v, w].

        Raises:
            WrongUse: widths or counts that differ, or a vector of zero.
        """
        by_read = cosines(self.name, reads_a, reads_b)
        by_write = cosines(self.name, writes_a, writes_b)
        if by_read.shape != by_write.shape:
            found = f"{list(by_read.shape)} read and {list(by_write.shape)} write vectors"
            raise WrongUse(f"measure {self.name}", found=found, do="give a read and a write vector for every unit")
        rows, columns = optimize.linear_sum_assignment(by_read + by_write, maximize=True)
        shared = np.zeros(len(by_read), dtype=bool)
        shared[rows] = np.minimum(by_read[rows, columns], by_write[rows, columns]) > self.above
        self._parts.append(shared)


def _directions(name: str, vectors: Float[Tensor, "u d"]) -> Float[Tensor, "u d"]:
    wide = doubled(vectors)
    norms = wide.norm(dim=1, keepdim=True)
    if zero := int((norms == 0).sum()):
        found = f"{zero} of {len(wide)} vectors are zero, and have no direction"
        raise WrongUse(f"measure {name}", found=found, do="leave these units out, and count them")
    return wide / norms


def _same_width(name: str, a: Float[Tensor, "u d"], b: Float[Tensor, "v e"]) -> None:
    if a.shape[1] != b.shape[1] or not len(b):
        found = f"vectors of shapes {list(a.shape)} and {list(b.shape)}"
        raise WrongUse(f"measure {name}", found=found, do="give vectors of one site, at least one of each")


def cosines(name: str, a: Float[Tensor, "u d"], b: Float[Tensor, "v e"]) -> Float[np.ndarray, "u v"]:
    """Of all vectors of a with all of b, for the metric of this name.

    Raises:
        WrongUse: widths that differ, or a vector of zero.
    """
    left, right = _directions(name, a), _directions(name, b)
    _same_width(name, left, right)
    return (left @ right.T).cpu().numpy()
