"""A sparse layer's experts: stacked in one module, and to us one list of hidden units, expert by expert.

A unit of an expert is worth something only for the tokens that are sent there: its value is what the expert makes,
times the token's routing weight.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from microtome.model.family import Sparse


class Experts:
    """The experts of one layer.

    Attributes:
        module: what holds their weights, and is called with tokens, the experts chosen and their weights.
    """

    def __init__(self, module: nn.Module, router: nn.Module, sparse: Sparse):
        self.module, self._router, self._woven = module, router, sparse.woven

    @property
    def n(self) -> int:
        """How many there are."""
        return self.module.get_parameter("down_proj").shape[0]

    @property
    def n_units(self) -> int:
        """Hidden units of all of them."""
        return self.n * self.module.get_parameter("down_proj").shape[1 if self._woven else 2]

    def w_in(self, *, first: bool) -> Float[Tensor, "u d"]:
        """The gates' matrices (`first`) or the second factors'."""
        both = self.module.get_parameter("gate_up_proj").detach()
        if self._woven:
            both = both[..., 0 if first else 1 :: 2].transpose(1, 2)
        else:
            half = both.shape[1] // 2
            both = both[:, :half] if first else both[:, half:]
        return both.reshape(-1, both.shape[2])

    def bias_in(self, *, first: bool) -> Float[Tensor, "u"] | None:
        """Their biases, or None. Woven experts add 1 to the second factor, which is a bias of it."""
        if not self._woven:
            return None
        both = self.module.get_parameter("gate_up_proj_bias").detach()
        return both[:, ::2].flatten() if first else both[:, 1::2].flatten() + 1

    @property
    def w_down(self) -> Float[Tensor, "d u"]:
        """What each hidden unit writes."""
        down = self.module.get_parameter("down_proj").detach()
        down = down.permute(2, 0, 1) if self._woven else down.permute(1, 0, 2)
        return down.reshape(down.shape[0], -1)

    def factors(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n u"], Float[Tensor, "n u"]]:
        """What tokens make of every gate and every second factor, biases included."""
        gate, up = (x @ self.w_in(first=first).T for first in (True, False))
        first, second = self.bias_in(first=True), self.bias_in(first=False)
        return (gate if first is None else gate + first, up if second is None else up + second)

    def units(self, gate: Float[Tensor, "n u"], up: Float[Tensor, "n u"]) -> Float[Tensor, "n u"]:
        """Hidden units from their factors, as the module itself makes them; without routing weights."""
        if not self._woven:
            return self.module.get_submodule("act_fn")(gate) * up
        module: Any = self.module
        return module._apply_gate(torch.stack([gate, up - 1], -1).flatten(-2))

    def shares(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n e"]:
        """Each token's weight for every expert, by the layer's own router; zero where it is not sent."""
        with torch.no_grad():
            _, weights, chosen = self._router(x)
        return routing(weights, chosen, self.n).to(x.dtype)

    def over_units(self, shares: Float[Tensor, "n e"]) -> Float[Tensor, "n u"]:
        """The weight of each unit's expert."""
        return shares.repeat_interleave(self.n_units // self.n, 1)

    def constant(self, shares: Float[Tensor, "n e"]) -> Float[Tensor, "n d"]:
        """What experts add whatever their units: the biases of their down projections, by routing weight."""
        if not self._woven:
            return shares.new_zeros(len(shares), self.module.get_parameter("down_proj").shape[1])
        return shares @ self.module.get_parameter("down_proj_bias").detach().to(shares.dtype)


def routing(weights: Tensor, chosen: Tensor, n_experts: int) -> Tensor:
    """Each token's weight for every expert, zero where it was not sent, `[tokens, experts]`."""
    return weights.new_zeros(weights.shape[0], n_experts).scatter(1, chosen, weights)
