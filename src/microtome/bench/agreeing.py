"""Whether dictionaries trained with other seeds found the same units, beside units that no training found."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microtome.bench.config import MeasureConfig
from microtome.bench.judging import measured
from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.measurement import Measurement
from microtome.metrics.metric import HasItems, PerItem
from microtome.metrics.similarity import MeanMaxCosine, SharedFraction, random_directions

Vectors = tuple[Float[Tensor, "u d"], Float[Tensor, "u w"]]
"""Read and write vectors of one block."""


class Averaged:
    """Each unit's score in several dictionaries, averaged."""

    def __init__(self, parts: Sequence[HasItems]):
        self._parts = parts

    def per_item(self) -> PerItem:
        """The units."""
        found = [one.per_item() for one in self._parts]
        return PerItem(found[0].items, np.mean([one.numerators for one in found], 0), found[0].denominators)


def agree(
    dictionary: Dictionary, reseeded: Mapping[str, Dictionary], *, config: MeasureConfig | None = None
) -> dict[str, Measurement]:
    """How far the units of a dictionary are found in others that differ by their seed alone.

    Two figures, means over all units, those that never fire included, and over the other dictionaries: the largest
    cosine of a unit's write vector in the other, and the share of units with a partner of their own there, matched one
    to one, whose read and write vectors both have a cosine above 0.7. Intervals run over the units. Nulls: random
    directions in the place of the other's vectors; and the other's vectors with each coordinate shuffled among its
    units, which keeps what all its units have in common and leaves no unit whole.

    The matching takes a time that grows with the cube of the units of a block: seconds for 4,096.

    Args:
        dictionary: whose units are looked for.
        reseeded: by name, dictionaries made in the same way with other seeds.
        config: `seed` and `level` are used.

    Raises:
        WrongUse: no other dictionary, or one of another geometry.
    """
    config = config or MeasureConfig()
    if not reseeded:
        raise WrongUse(f"look for units of {dictionary} elsewhere", found="no other dictionary", do="give some")
    for name, other in reseeded.items():
        if other.geometry != dictionary.geometry:
            raise WrongUse(
                f"look for units of {dictionary} in {name!r}", found=f"{other}",
                do="give dictionaries of the same sites and as many units, trained with other seeds",
            )  # fmt: skip
    rng = np.random.default_rng(config.seed)
    own = _vectors(dictionary)
    theirs: dict[str, list[list[Vectors]]] = {"": [_vectors(one) for one in reseeded.values()]}
    theirs["random directions"] = [_changed(one, lambda w: _random(w, rng)) for one in theirs[""]]
    theirs["coordinates shuffled among units"] = [_changed(one, lambda w: _shuffled(w, rng)) for one in theirs[""]]
    told = f"over {len(reseeded)} other {'seed' if len(reseeded) == 1 else 'seeds'}, all units, dead ones too"
    found = {}
    for name, unit, score in (
        ("mean max cosine between seeds", "cosine", _cosines),
        ("units shared between seeds", "share", _shared),
    ):
        scores = {who: Averaged([score(own, other) for other in others]) for who, others in theirs.items()}
        found[name] = measured(name, scores.pop(""), scores, f"{unit}, {told}", config)
    return found


def _vectors(dictionary: Dictionary) -> list[Vectors]:
    return [(units.W_enc.detach(), units.W_dec.detach()) for units in dictionary.units]


def _changed(blocks: list[Vectors], change: Callable[[Tensor], Tensor]) -> list[Vectors]:
    return [(change(reads), change(writes)) for reads, writes in blocks]


def _random(vectors: Float[Tensor, "u d"], rng: np.random.Generator) -> Float[Tensor, "u d"]:
    return random_directions(*vectors.shape, seed=int(rng.integers(2**31)))


def _shuffled(vectors: Float[Tensor, "u d"], rng: np.random.Generator) -> Float[Tensor, "u d"]:
    return torch.from_numpy(rng.permuted(vectors.cpu().numpy(), axis=0))


def _cosines(own: list[Vectors], other: list[Vectors]) -> MeanMaxCosine:
    metric = MeanMaxCosine()
    for (_, mine), (_, theirs) in zip(own, other, strict=True):
        metric.add(mine, theirs.to(mine.device))
    return metric


def _shared(own: list[Vectors], other: list[Vectors]) -> SharedFraction:
    metric = SharedFraction()
    for mine, (reads, writes) in zip(own, other, strict=True):
        metric.add(*mine, reads.to(mine[0].device), writes.to(mine[1].device))
    return metric
