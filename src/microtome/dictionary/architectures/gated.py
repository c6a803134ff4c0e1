"""Gated: one reading decides whether a unit is active, another, of the same direction, how much.

The L1 penalty falls on the gate alone, so that magnitudes do not shrink. The gate learns by reconstructing on its own,
through a frozen copy of the write vectors. Rajamanoharan et al. 2024, arXiv:2404.16014.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture, Seen, squared_error
from microtome.dictionary.choosing import above
from microtome.dictionary.sparse import decoded, values
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@ARCHITECTURES.register("gated", summary="a gate decides whether, a magnitude how much; L1 on the gate alone")
@dataclass(frozen=True)
class Gated(Architecture):
    """Settings. `b_enc` is the gate's bias; a unit's magnitude reads exp(r_mag) times its read vector.

    Attributes:
        l1: weight of Σ gate × length of the write vector.
    """

    name: ClassVar[str] = "gated"
    by_token: ClassVar[bool] = True

    l1: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "l1", self.l1, least=0)

    @classmethod
    def tiny(cls) -> "Gated":
        """Half of the gates are open at the start."""
        return cls()

    def extras(self, n_units: int) -> dict[str, Tensor]:
        """Magnitudes begin as the gates."""
        return {"r_mag": torch.zeros(n_units), "b_mag": torch.zeros(n_units)}

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """Open gates and their magnitudes; `pre` holds the gates."""
        with torch.no_grad():
            picks = above(x, units.W_enc, units.b_enc, shift, 0.0)
        dots = values(x, units.W_enc, torch.zeros_like(units.b_enc), shift, picks)
        gates = dots + units.b_enc[picks.ids]
        magnitudes = dots * units.extra("r_mag").exp()[picks.ids] + units.extra("b_mag")[picks.ids]
        return Active(units, picks, gates, magnitudes.relu())

    def line(self, units: Units, ids: Int[Tensor, "n"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
        """A magnitude's; the gate only says whether."""
        return units.extra("r_mag").exp()[ids], units.extra("b_mag")[ids]

    def rescaled(self, extras: dict[str, Tensor], factor: Float[Tensor, "u"]) -> dict[str, Tensor]:
        """The magnitude's bias grows with the activations; exp(r_mag) is a ratio and stays."""
        return {**extras, "b_mag": extras["b_mag"] * factor}

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """The gates' penalty, and the error of what gates alone reconstruct through frozen write vectors."""
        paid = [(one.pre * one.units.norms[one.picks.ids]).sum() for one in seen.active]
        by_gates = [
            one.units.spread(decoded(one.pre, one.units.W_dec.detach(), one.picks), len(seen.y[0]))
            for one in seen.active
        ]
        y_hat = dictionary.b_dec.detach() + dictionary.across.summed(torch.stack(by_gates).sum(0))
        if dictionary.W_skip is not None:
            y_hat = y_hat + dictionary.through(seen.x).detach()
        return {
            "sparsity": seen.moment.ramp * self.l1 * dictionary.across.summed(torch.stack(paid).sum()) / len(seen.x),
            "gate": squared_error(y_hat, seen.y),
        }
