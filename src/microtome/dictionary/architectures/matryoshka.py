"""Matryoshka BatchTopK: the first units alone must reconstruct too, at several sizes at once.

Early units are kept general, since they have to do without the later ones; that counters features split and absorbed
by others. Bussmann et al. 2025, arXiv:2503.17547.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.dictionary.architecture import ARCHITECTURES, Active, Moment, Outcome, Seen, squared_error
from microtome.dictionary.architectures.batchtopk import BatchTopK

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary, Written


@ARCHITECTURES.register("matryoshka", summary="BatchTopK whose first units also reconstruct alone, at several sizes")
@dataclass(frozen=True)
class Matryoshka(BatchTopK):
    """Settings: those of BatchTopK, and the sizes.

    Attributes:
        levels: shares of each block's units, growing, the last of them 1. The loss is the mean of the squared errors
            at every level.
    """

    name: ClassVar[str] = "matryoshka"

    levels: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        grows = all(a < b for a, b in zip((0.0, *self.levels), self.levels, strict=False))
        if not (grows and self.levels and self.levels[-1] == 1.0):
            raise WrongUse(
                "make a Matryoshka dictionary", found=f"levels {self.levels}", do="give growing shares that end in 1"
            )

    @classmethod
    def tiny(cls) -> "Matryoshka":
        """Levels of unequal size."""
        return cls(k=24, aux_k=8, levels=(0.125, 0.5, 1.0))

    def outcome(
        self, dictionary: "Dictionary", x: Float[Tensor, "t r d"], y: Float[Tensor, "t w e"], moment: Moment
    ) -> Outcome:
        """The loss, with the reconstruction's squared error averaged over the levels."""
        active = tuple(self.fit(*given) for given in dictionary.given(x))
        y_hat = dictionary.written([], x).expand_as(y)
        errors = []
        for low, high in zip((0.0, *self.levels), self.levels, strict=False):
            y_hat = y_hat + dictionary.by_units([_between(one, low, high) for one in active])
            errors.append(squared_error(y_hat, y))
        terms = self.terms(dictionary, Seen(x, y, active, y_hat, moment))
        return Outcome({"reconstruction": torch.stack(errors).mean(), **terms}, active, y_hat)


def _between(active: Active, low: float, high: float) -> "Written":
    """The units of one level that the level before does not have."""
    n = active.units.share.of
    ids = active.units.share.first + active.picks.ids
    chosen = (ids >= round(low * n)) & (ids < round(high * n))
    return active.units, replace(active.picks.where(chosen), dots=None), active.values[chosen]
