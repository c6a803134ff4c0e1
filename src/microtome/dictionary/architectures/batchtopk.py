"""BatchTopK: the k · t largest pre-activations of a batch of t tokens are active, wherever they fall.

Hard tokens may use more units than easy ones. Once trained, a unit is active where it is above one fixed
threshold, so that a token's codes do not depend on its neighbours. Bussmann et al. 2024, arXiv:2412.06410.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture, Outcome, Seen
from microtome.dictionary.auxiliary import aux_k
from microtome.dictionary.choosing import above, top_of_all
from microtome.dictionary.sparse import values
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@ARCHITECTURES.register("batchtopk", summary="k active units a token on average, wherever they are strongest")
@dataclass(frozen=True)
class BatchTopK(Architecture):
    """Settings.

    Attributes:
        k: mean number of units of each block that a token uses.
        by_norm: choose by pre-activation × length of the write vector.
        aux_k: dead units of each token that are trained on what the others left; 0 leaves them dead.
        threshold_rate: share of each batch in the running mean that becomes the threshold: of the smallest
            pre-activation (× length) that was chosen.
    """

    name: ClassVar[str] = "batchtopk"

    k: float | int = 32
    by_norm: bool = True
    aux_k: int = 256
    threshold_rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "k", self.k, above=0)
        check_range(self.asked, "aux_k", self.aux_k, least=0)
        check_range(self.asked, "threshold_rate", self.threshold_rate, above=0, most=1)

    def check(self, n_units: int) -> None:
        """See `Architecture.check`."""
        check_range(f"{self.asked} and {n_units:,} units", "k", self.k, most=n_units)

    @classmethod
    def tiny(cls) -> "BatchTopK":
        """So many that the choice reaches below zero."""
        return cls(k=24)

    def extras(self, n_units: int) -> dict[str, Tensor]:
        """The threshold; below zero as long as no batch was seen."""
        return {"threshold": torch.tensor(-1.0)}

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """Units above the threshold."""
        with torch.no_grad():
            bound = units.extra("threshold").clamp(min=0.0) / self._scale(units).clamp(min=1e-12)
            picks = above(x, units.W_enc, units.b_enc, shift, bound)
        found = values(x, units.W_enc, units.b_enc, shift, picks)
        return Active(units, picks, found, found)

    def fit(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """The k · t strongest of the batch."""
        with torch.no_grad():
            n = round(self.k * len(x) * units.share.across.batches)
            picks = top_of_all(x, units.W_enc, units.b_enc, shift, n, self._scale(units), units.share)
        found = values(x, units.W_enc, units.b_enc, shift, picks)
        return Active(units, picks, found, found)

    def of_unit_length(self) -> "BatchTopK":
        """Chooses by the activations as they are."""
        return replace(self, by_norm=False)

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """See `Architecture.terms`."""
        return aux_k(dictionary, seen, self.aux_k)

    def settle(self, outcome: Outcome) -> None:
        """Moves the threshold towards the smallest that this batch chose."""
        with torch.no_grad():
            for one in outcome.active:
                chosen = one.values * self._scale(one.units)[one.picks.ids]
                least = one.units.share.across.least(chosen.min() if len(chosen) else chosen.new_tensor(torch.inf))
                if least < torch.inf:
                    threshold = one.units.extra("threshold")
                    rate = self.threshold_rate if float(threshold) >= 0 else 1.0
                    threshold.lerp_(least, rate)

    def _scale(self, units: Units) -> Float[Tensor, "u"]:
        return units.norms if self.by_norm else torch.ones_like(units.b_enc)
