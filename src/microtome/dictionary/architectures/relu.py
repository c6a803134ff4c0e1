"""ReLU with an L1 penalty: units are active wherever they are above zero, and pay for how much they say.

The penalty weighs an activation by the length of what it writes, so that no unit escapes it by small activations and
long write vectors. It shrinks activations below what would reconstruct best. Bricken et al. 2023, "Towards
Monosemanticity"; weighted as in the April 2024 update of "Circuits Updates" (Anthropic).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture, Seen
from microtome.dictionary.choosing import above
from microtome.dictionary.sparse import values
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@ARCHITECTURES.register("relu", summary="active above zero, with an L1 penalty")
@dataclass(frozen=True)
class ReLU(Architecture):
    """Settings.

    Attributes:
        l1: weight of Σ activation × length of the write vector, beside squared error at E‖x‖² = d.
    """

    name: ClassVar[str] = "relu"
    by_token: ClassVar[bool] = True

    l1: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "l1", self.l1, least=0)

    @classmethod
    def tiny(cls) -> "ReLU":
        """Half of the units are active at the start."""
        return cls()

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """See `Architecture.activate`."""
        with torch.no_grad():
            picks = above(x, units.W_enc, units.b_enc, shift, 0.0)
        found = values(x, units.W_enc, units.b_enc, shift, picks)
        return Active(units, picks, found, found)

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """See `Architecture.terms`."""
        return {"sparsity": seen.moment.ramp * self.l1 * dictionary.across.summed(l1(seen))}


def l1(seen: Seen) -> Float[Tensor, ""]:
    """Σ activation × length of the write vector, averaged over tokens: of the units that lie here."""
    paid = [(one.values * one.units.norms[one.picks.ids]).sum() for one in seen.active]
    return torch.stack(paid).sum() / len(seen.x)
