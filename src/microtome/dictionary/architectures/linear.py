"""Linear: a unit's activation is its reading itself, above zero or below; the strongest are kept.

What directions need that were not trained to be active above zero alone: neurons, principal components, random
directions, probes. Trained without `k` it is a linear autoencoder, whose optimum spans the principal components.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture
from microtome.dictionary.choosing import top_of_each
from microtome.dictionary.codes import Picks
from microtome.dictionary.sparse import values
from microtome.dictionary.units import Units


@ARCHITECTURES.register("linear", summary="signed readings, the k largest by absolute value or all")
@dataclass(frozen=True)
class Linear(Architecture):
    """Settings.

    Attributes:
        k: units of each block that a token uses at most, the largest by absolute value; None for all of them. One
            that reads exactly zero is not active.
        by_norm: choose by reading × length of the write vector, so that a unit's own scale is no advantage.
    """

    name: ClassVar[str] = "linear"
    signed: ClassVar[bool] = True

    k: int | None = None
    by_norm: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "k", self.k, least=1)

    @classmethod
    def tiny(cls) -> "Linear":
        """Fewer than all, of both signs."""
        return cls(k=12)

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """See `Architecture.activate`."""
        with torch.no_grad():
            picks = _everything(len(x), units) if self.k is None else self._strongest(units, x, shift, self.k)
        found = values(x, units.W_enc, units.b_enc, shift, picks)
        return Active(units, picks, found, found)

    def of_unit_length(self) -> "Linear":
        """Chooses by the activations as they are."""
        return replace(self, by_norm=False)

    def _strongest(self, units: Units, x: Float[Tensor, "t d"], shift: Tensor | None, k: int) -> Picks:
        """The choice among units and their opposites: the larger of the two readings is the absolute value."""
        n = len(units.b_enc)
        scale = units.norms if self.by_norm else torch.ones_like(units.b_enc)
        both = torch.cat([units.W_enc, -units.W_enc])
        biases = torch.cat([units.b_enc, -units.b_enc])
        chosen = top_of_each(x, both, biases, shift, k, torch.cat([scale, scale]), units.share)
        order = (chosen.rows * n + chosen.ids % n).argsort()
        return Picks((chosen.ids % n)[order], chosen.offsets, n)


def _everything(t: int, units: Units) -> Picks:
    n = len(units.b_enc)
    device = units.b_enc.device
    return Picks(torch.arange(n, device=device).repeat(t), torch.arange(t + 1, device=device) * n, n)
