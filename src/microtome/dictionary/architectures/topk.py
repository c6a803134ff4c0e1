"""TopK: the k units of each token with the largest pre-activation are active, the rest are zero.

Sparsity is set, not tuned: there is no penalty and so no shrinkage, at the price of one budget for easy and hard
tokens alike. Gao et al. 2024, arXiv:2406.04093.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture, Seen
from microtome.dictionary.auxiliary import aux_k
from microtome.dictionary.choosing import top_of_each
from microtome.dictionary.sparse import values
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@ARCHITECTURES.register("topk", summary="the k strongest units of each token are active")
@dataclass(frozen=True)
class TopK(Architecture):
    """Settings.

    Attributes:
        k: units of each block that a token may use; it uses fewer where fewer are above zero.
        by_norm: choose by pre-activation × length of the write vector, so that a unit's own scale is no advantage.
        aux_k: dead units of each token that are trained on what the others left; 0 leaves them dead.
    """

    name: ClassVar[str] = "topk"

    k: int = 32
    by_norm: bool = True
    aux_k: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "k", self.k, least=1)
        check_range(self.asked, "aux_k", self.aux_k, least=0)

    def check(self, n_units: int) -> None:
        """See `Architecture.check`."""
        check_range(f"{self.asked} and {n_units:,} units", "k", self.k, most=n_units)

    @classmethod
    def tiny(cls) -> "TopK":
        """So many of 32 units that some of the strongest are below zero."""
        return cls(k=24)

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """See `Architecture.activate`."""
        with torch.no_grad():
            scale = units.norms if self.by_norm else None
            picks = top_of_each(x, units.W_enc, units.b_enc, shift, self.k, scale, units.share)
        found = values(x, units.W_enc, units.b_enc, shift, picks)
        return Active(units, picks, found, found)

    def of_unit_length(self) -> "TopK":
        """Chooses by the activations as they are."""
        return replace(self, by_norm=False)

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """See `Architecture.terms`."""
        return aux_k(dictionary, seen, self.aux_k)
