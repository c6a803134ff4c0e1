"""One prompt with everything nonlinear held: attention patterns, norm scales, gates.

Between one MLP's input and the next the network is then linear, and each layer's part of it is a few
matrix products on the module's own weights. METHODS: the LN rule, the identity rule, the half rule and
frozen attention of layer-wise relevance propagation (Jafari et al. 2025, arXiv 2508.21258).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.experts import Experts
from microtome.model.frozen_attention import FrozenAttention
from microtome.model.norms import plus, scale_of, through
from microtome.model.run import Run

if TYPE_CHECKING:
    from microtome.model.model import Model

ACTIVATION_AT_ZERO = 0.5
"""Limit of act(x)/x at 0 for SiLU and GELU. No sum depends on it: the unit is 0 there."""


@dataclass(frozen=True)
class Gates:
    """How each hidden unit follows, linearly, from what its MLP reads: a = (c_gate W_gate + c_up W_up) x + bias.

    Gated MLPs by the half rule, c_gate = r·up/2 and c_up = r·gate/2 with r = act(gate)/gate; others by the
    identity rule, c_gate = r. Routing weights of experts are folded into r.
    """

    c_gate: Float[Tensor, "p u"]
    c_up: Float[Tensor, "p u"] | None


class FrozenLayer:
    """One layer's linear maps at one prompt. Names: push goes up the network, pull is its transpose."""

    def __init__(self, layer: Layer, run: Run, index: int):
        self.layer, self.index = layer, index
        self.stream: Float[Tensor, "p d"] = run[f"resid.{index}"][0]
        self.between = self.stream if layer.parallel else run[f"resid_mid.{index}"][0]
        self.attention = FrozenAttention(layer, run, index)
        self.mlp_in: Float[Tensor, "p d"] = run[f"mlp.in.{index}"][0]
        self.mlp_out: Float[Tensor, "p d"] = run[f"mlp.out.{index}"][0]
        self.neurons: Float[Tensor, "p u"] = run[f"mlp.neurons.{index}"][0]
        self.gates = _gates(layer, run, index)
        self.mlp_scale = scale_of(layer.mlp_norm, self.between)
        self.mlp_post_scale = scale_of(layer.mlp_post_norm, plus(self.neurons @ layer.w_down.T, layer.b_down))

    @property
    def writes(self) -> Float[Tensor, "d u"]:
        """What units write, with the norm after the MLP folded in but for its scale."""
        norm = self.layer.mlp_post_norm
        if norm is None:
            return self.layer.w_down
        w = self.layer.w_down
        centred = w - w.mean(0, keepdim=True) if norm.centred else w
        return norm.weight[:, None] * centred

    def write_scale(self, like: Tensor) -> Float[Tensor, "p 1"]:
        """The scale of the norm after the MLP, ones where there is none."""
        return like.new_ones(self.stream.shape[0], 1) if self.mlp_post_scale is None else self.mlp_post_scale

    def written(self, neurons: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """What hidden units add to the stream, without constants."""
        return (neurons @ self.writes.to(neurons.dtype).T) * self.write_scale(neurons)

    def unit_gradients(self, g: Float[Tensor, "p d"]) -> Float[Tensor, "p u"]:
        """From a gradient on the stream after the MLP to one on its hidden units."""
        return (g @ self.writes) * self.write_scale(g)

    def reads(self, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n d"]:
        """Read vectors of units at positions, on the stream that the MLP's norm reads."""
        vectors = self.gates.c_gate[positions, units, None] * self.layer.w_gate[units]
        if self.gates.c_up is not None:
            vectors = vectors + self.gates.c_up[positions, units, None] * self.layer.w_up[units]
        norm, scale = self.layer.mlp_norm, self.mlp_scale
        return vectors if norm is None or scale is None else norm.pull(vectors, scale[positions])

    def read_constants(self, positions: Int[Tensor, "n"], units: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """What units at positions have without any stream: biases of the norm and of the matrices."""
        return self.unit_constants[positions, units]

    @cached_property
    def unit_constants(self) -> Float[Tensor, "p u"]:
        """The same of every hidden unit at every position."""
        layer = self.layer
        norm = layer.mlp_norm
        gates = self.gates
        x = torch.zeros_like(self.stream[0]) if norm is None or norm.bias is None else norm.bias
        constants = gates.c_gate * plus(layer.w_gate @ x, layer.bias_in(first=True))
        if gates.c_up is None:
            return constants
        return constants + gates.c_up * plus(layer.w_up @ x, layer.bias_in(first=False))

    def pull_units(self, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """From gradients on hidden units to the stream that the MLP's norm reads."""
        layer, norm = self.layer, self.layer.mlp_norm
        g = (gradients * self.gates.c_gate) @ layer.w_gate
        if self.gates.c_up is not None:
            g = g + (gradients * self.gates.c_up) @ layer.w_up
        return g if norm is None or self.mlp_scale is None else norm.pull(g, self.mlp_scale)

    def push_mlp(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From streams to what the MLP adds to them with its gates held, constants left out.

        Args:
            x: over positions from `start` on.
            start: the prompt's position that is first in `x`.
        """
        layer = self.layer
        here = slice(start, start + x.shape[1])
        if layer.mlp_norm is not None and self.mlp_scale is not None:
            x = layer.mlp_norm.push(x, self.mlp_scale[here].to(x))
        units = (x @ layer.w_gate.T.to(x)) * self.gates.c_gate[here].to(x)
        if self.gates.c_up is not None:
            units = units + (x @ layer.w_up.T.to(x)) * self.gates.c_up[here].to(x)
        return (units @ self.writes.T.to(x)) * self.write_scale(x)[here]

    def pull_mlp(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From gradients after the MLP to those that its reading adds before its norm: the transpose of push.

        Args:
            g: over positions from `start` on.
            start: the prompt's position that is first in `g`.
        """
        layer = self.layer
        here = slice(start, start + g.shape[1])
        units = (g @ self.writes) * self.write_scale(g)[here]
        found = (units * self.gates.c_gate[here]) @ layer.w_gate
        if self.gates.c_up is not None:
            found = found + (units * self.gates.c_up[here]) @ layer.w_up
        norm, scale = layer.mlp_norm, self.mlp_scale
        return found if norm is None or scale is None else norm.pull(found, scale[here])

    @cached_property
    def mlp_constant(self) -> Float[Tensor, "p d"]:
        """What the MLP adds whatever its units: the down projections' and the post-norm's biases."""
        layer = self.layer
        if layer.experts is not None:
            return layer.experts.constant(layer.experts.shares(self.mlp_in))
        raw = plus(torch.zeros_like(self.stream), layer.b_down)
        return through(layer.mlp_post_norm, self.mlp_post_scale, raw)


class Frozen:
    """A prompt's frozen network: its layers, and where the stream begins and ends.

    Attributes:
        layers: one each.
        embed: what enters layer 0, `[p, d]`.
        final: the stream after the last layer, `[p, d]`.
        normed: the same after the final norm, `[p, d]`.
        final_scale: the final norm's scale, `[p, 1]`.
        ids: the prompt's tokens.
    """

    def __init__(self, anatomy: Anatomy, run: Run):
        self.anatomy = anatomy
        self.layers = [FrozenLayer(layer, run, i) for i, layer in enumerate(anatomy.layers)]
        self.embed: Float[Tensor, "p d"] = run["embed"][0]
        self.final: Float[Tensor, "p d"] = run["resid.final"][0]
        self.normed: Float[Tensor, "p d"] = run["norm.final"][0]
        self.final_scale = anatomy.final_norm.scale(self.final)
        self.ids: list[int] = run.batch.tokens[0]

    @property
    def parallel(self) -> bool:
        """Whether both branches of a layer read the stream that enters it."""
        return self.anatomy.parallel

    @property
    def n_positions(self) -> int:
        """Tokens of the prompt."""
        return self.embed.shape[0]

    def logits(self, position: int) -> Float[Tensor, "v"]:
        """Logits before any soft-cap, at one position."""
        return plus(self.anatomy.w_u @ self.normed[position], self.anatomy.b_u)

    def pull_direction(self, direction: Float[Tensor, "d"], position: int) -> Float[Tensor, "d"]:
        """From a direction after the final norm to the stream before it, at one position."""
        return self.anatomy.final_norm.pull(direction, self.final_scale[position])

    def direction_constant(self, direction: Float[Tensor, "d"]) -> Float[Tensor, ""]:
        """What the final norm's bias gives in a direction."""
        bias = self.anatomy.final_norm.bias
        return direction.new_zeros(()) if bias is None else bias @ direction


def freeze(model: "Model", inputs: Any) -> Frozen:
    """Runs one prompt and holds every nonlinearity at its values.

    Raises:
        WrongUse: several rows, or weights below float32: their rounding is larger than what is measured.
    """
    if model.dtype not in (torch.float32, torch.float64):
        raise WrongUse(
            "freeze a prompt",
            found=f"weights in {model.card['dtype']}",
            do="open the model with dtype='float32'; `trace` and `prove` do so on a copy",
        )
    names = [
        "attn.in.*",
        "attn.pattern.*",
        "attn.heads.*",
        "attn.out.*",
        "mlp.in.*",
        "mlp.neurons.*",
        "mlp.out.*",
        "resid.*",
    ]
    names += [] if model.anatomy.parallel else ["resid_mid.*"]
    for i, layer in enumerate(model.anatomy.layers):
        if layer.experts is None:
            names += [f"mlp.gate.{i}", f"mlp.up.{i}"] if layer.gated else [f"mlp.gate.{i}"]
    run = model.run(inputs, capture=["embed", *names, "resid.final", "norm.final"])
    if run["embed"].shape[0] != 1:
        raise WrongUse("freeze a prompt", found=f"{run['embed'].shape[0]} rows", do="give one prompt")
    return Frozen(model.anatomy, run)


def _gates(layer: Layer, run: Run, index: int) -> Gates:
    if layer.experts is not None:
        return _expert_gates(layer.experts, run[f"mlp.in.{index}"][0])
    gate = run[f"mlp.gate.{index}"][0]
    with torch.no_grad():
        ratio = torch.where(gate == 0, ACTIVATION_AT_ZERO, layer.activation(gate) / gate)
    return _half(ratio, gate, run[f"mlp.up.{index}"][0]) if layer.gated else Gates(ratio, None)


def _expert_gates(experts: Experts, x: Float[Tensor, "p d"]) -> Gates:
    with torch.no_grad():
        gate, up = experts.factors(x)
        product = gate * up
        ratio = torch.where(product == 0, ACTIVATION_AT_ZERO, experts.units(gate, up) / product)
        return _half(ratio * experts.over_units(experts.shares(x)), gate, up)


def _half(ratio: Tensor, gate: Tensor, up: Tensor) -> Gates:
    return Gates(ratio * up / 2, ratio * gate / 2)


def _of(bias: Tensor | None, units: Tensor) -> Tensor | None:
    return None if bias is None else bias[units]
