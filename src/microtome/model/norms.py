"""Norms as what they are once their scale is frozen: a linear map with a constant.

The kind of a norm is measured, not declared: a random vector goes through the module, and the formula
that gives its output is the kind. A norm that none of them fits is refused at opening.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microtome.core.errors import NotSupported

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Norm:
    """y = centre(x) · s(x) · weight + bias, with s(x) one number a position.

    Attributes:
        raw: the module's own weight, `[d]`, or `[h, c]` where each head has its own: a view, so that what is changed in
            the module is changed here.
        plus_one: whether 1 + raw multiplies, as in Gemma, or raw itself.
        bias: `[d]`, or None; a view too.
        eps: inside the square root.
        centred: LayerNorm subtracts the mean over d, RMS norms do not.
    """

    raw: Float[Tensor, "*d"]
    plus_one: bool
    bias: Float[Tensor, "*d"] | None
    eps: float
    centred: bool

    @property
    def weight(self) -> Float[Tensor, "*d"]:
        """What multiplies."""
        return self.raw + 1 if self.plus_one else self.raw

    def cast(self, to: Callable[[Tensor], Tensor]) -> "Norm":
        """The same norm with its tensors made into others, such as float64 ones."""
        return replace(self, raw=to(self.raw), bias=None if self.bias is None else to(self.bias))

    def scale(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b 1"]:
        """s(x): one over the root mean square (of the centred vector)."""
        return (self.centre(x).square().mean(-1, keepdim=True) + self.eps).rsqrt()

    def centre(self, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
        """Subtracts the mean over d where this norm does."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def push(self, x: Float[Tensor, "*b d"], scale: Float[Tensor, "*#b 1"]) -> Float[Tensor, "*b d"]:
        """The linear part at a frozen scale, without the bias."""
        return self.centre(x) * scale * self.weight

    def pull(self, g: Float[Tensor, "*b d"], scale: Float[Tensor, "*#b 1"]) -> Float[Tensor, "*b d"]:
        """The transpose of `push`: carries a read vector from after the norm to before it."""
        return self.centre(g * self.weight * scale)


def measured(module: nn.Module) -> Norm:
    """Finds the formula of a norm module by running it.

    Raises:
        NotSupported: none of LayerNorm, RMS and RMS with 1 + w gives the module's output.
    """
    raw = module.get_parameter("weight").detach()
    bias = module._parameters.get("bias")
    eps = float(getattr(module, "variance_epsilon", getattr(module, "eps", 0.0)))
    x = torch.randn(4, *raw.shape, generator=torch.Generator().manual_seed(0)).to(raw.device) * 3 + 1
    expected = _output_in_float32(module, x)
    constant = None if bias is None else bias.detach()
    errors = {}
    for centred in (False, True):
        for plus_one in (False, True):
            norm = Norm(raw, plus_one, constant, eps, centred)
            wide = norm.cast(Tensor.float)
            found = wide.push(x, wide.scale(x)) + (0 if wide.bias is None else wide.bias)
            errors[centred, plus_one] = float((found - expected).abs().max() / expected.abs().max())
            if errors[centred, plus_one] < TOLERANCE:
                return norm
    raise NotSupported(
        f"read the norm {type(module).__name__}",
        found=f"no known formula fits; the closest is off by {min(errors.values()):.1e} of its largest value",
        do="capture sites of this model by module path; its norms cannot be frozen",
    )


def _output_in_float32(module: nn.Module, x: Float[Tensor, "n *d"]) -> Float[Tensor, "n *d"]:
    """What the module gives in float32, whatever its dtype: in bfloat16 all formulas look alike."""
    wide = {name: tensor.detach().float() for name, tensor in module.named_parameters()}
    with torch.no_grad():
        return torch.func.functional_call(module, wide, (x,))


def scale_of(norm: Norm | None, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b 1"] | None:
    """The scale of a norm where there is one."""
    return None if norm is None else norm.scale(x)


def through(norm: Norm | None, scale: Tensor | None, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b d"]:
    """Past a norm at a frozen scale, its bias included; as it is where there is none."""
    if norm is None or scale is None:
        return x
    return plus(norm.push(x, scale), norm.bias)


def plus(x: Tensor, bias: Tensor | None) -> Tensor:
    """With a bias where there is one."""
    return x if bias is None else x + bias
