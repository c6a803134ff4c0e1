"""JumpReLU: each unit has a threshold of its own; above it the activation passes whole, so that it does not shrink.

The count of active units is a step, whose gradient by the threshold is estimated from the activations within a narrow
window around it. Rajamanoharan et al. 2024, arXiv:2407.14435. With `penalty="tanh"`, the smooth count and the wide
window of "Dictionary Learning Optimization Techniques" (Anthropic, January 2025).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.checking import check_range
from microtome.dictionary.architecture import ARCHITECTURES, Active, Architecture, Outcome, Seen
from microtome.dictionary.choosing import above
from microtome.dictionary.sparse import values
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@ARCHITECTURES.register("jumprelu", summary="a threshold a unit; above it activations pass whole")
@dataclass(frozen=True)
class JumpReLU(Architecture):
    """Settings. Widths are meant for inputs of E‖x‖² = d.

    Thresholds are trained as they are, and held at zero or above. The paper trains their logarithms; as they are, a
    step of Adam moves small ones as far as large ones, and short runs leave less unexplained at the same L0.

    Attributes:
        l0: weight of the number of active units (`step`), or of Σ tanh(stretch · activation · length) (`tanh`).
        penalty: which of the two.
        stretch: of the tanh.
        threshold: at the start.
        window: width of the window around a threshold in which activations move it.
    """

    name: ClassVar[str] = "jumprelu"
    by_token: ClassVar[bool] = True

    l0: float = 5.0
    penalty: Literal["step", "tanh"] = "step"
    stretch: float = 4.0
    threshold: float = 0.01
    window: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self.asked, "l0", self.l0, least=0)
        check_range(self.asked, "stretch", self.stretch, above=0)
        check_range(self.asked, "threshold", self.threshold, least=0)
        check_range(self.asked, "window", self.window, above=0)

    @classmethod
    def tiny(cls) -> "JumpReLU":
        """Many activations within the window."""
        return cls(threshold=0.3, window=0.4)

    def extras(self, n_units: int) -> dict[str, Tensor]:
        """The thresholds."""
        return {"threshold": torch.full((n_units,), self.threshold)}

    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """Units above their thresholds."""
        return self._active(units, x, shift, below=0.0)

    def fit(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """Those, and the ones within the window below, which are zero and move the threshold."""
        return self._active(units, x, shift, below=self.window / 2)

    def _active(
        self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None, *, below: float
    ) -> Active:
        threshold = units.extra("threshold")
        with torch.no_grad():
            picks = above(x, units.W_enc, units.b_enc, shift, threshold - below)
        pre = values(x, units.W_enc, units.b_enc, shift, picks)
        own = threshold[picks.ids]
        whole = (pre > own).to(pre)
        # The second term is zero: it carries the jump's gradient, −own/window, to the threshold.
        jumped = pre * whole + own.detach() * (step(pre.detach(), own, self.window) - whole)
        return Active(units, picks, pre, jumped)

    def rescaled(self, extras: dict[str, Tensor], factor: Float[Tensor, "u"]) -> dict[str, Tensor]:
        """Thresholds grow with the activations."""
        return {"threshold": extras["threshold"] * factor}

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """The penalty on active units."""
        counts = [self._count(one).sum() for one in seen.active]
        return {
            "sparsity": seen.moment.ramp * self.l0 * dictionary.across.summed(torch.stack(counts).sum()) / len(seen.x)
        }

    def settle(self, outcome: Outcome) -> None:
        """Holds thresholds at zero or above, where a gradient still finds them."""
        with torch.no_grad():
            for one in outcome.active:
                one.units.extra("threshold").clamp_(min=0.0)

    def _count(self, one: Active) -> Float[Tensor, "n"]:
        if self.penalty == "tanh":
            return torch.tanh(self.stretch * one.values * one.units.norms[one.picks.ids])
        threshold = one.units.extra("threshold")[one.picks.ids]
        return step(one.pre.detach(), threshold, self.window)


def step(pre: Float[Tensor, "n"], threshold: Float[Tensor, "n"], window: float) -> Float[Tensor, "n"]:
    """1 where `pre` is above its threshold, else 0.

    Its gradient by the threshold is −1/window within half a window of it: averaged over a batch, an estimate of
    −density at the threshold, which is the exact derivative of the expectation. By `pre` there is none.
    """
    found = _Step.apply(pre, threshold, window)
    assert isinstance(found, Tensor)
    return found


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, window: float) -> Tensor:
        ctx.save_for_backward((pre - threshold).abs() < window / 2)
        ctx.window = window
        return (pre > threshold).to(pre)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor, None]:
        (within,) = ctx.saved_tensors
        return None, -grads[0] * within / ctx.window, None
