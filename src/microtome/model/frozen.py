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
from torch import Tensor, nn

from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.norms import Norm
from microtome.model.run import Run
from microtome.model.taps import routing

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
        self.pattern: Float[Tensor, "h p p"] = run[f"attn.pattern.{index}"][0]
        self.attn_out: Float[Tensor, "p d"] = run[f"attn.out.{index}"][0]
        self.mlp_in: Float[Tensor, "p d"] = run[f"mlp.in.{index}"][0]
        self.mlp_out: Float[Tensor, "p d"] = run[f"mlp.out.{index}"][0]
        self.neurons: Float[Tensor, "p u"] = run[f"mlp.neurons.{index}"][0]
        self.gates = _gates(layer, run, index)
        self.attn_scale = _scale(layer.attn_norm, self.stream)
        self.mlp_scale = _scale(layer.mlp_norm, self.between)
        heads = run[f"attn.heads.{index}"][0].flatten(1)
        self.attn_post_scale = _scale(layer.attn_post_norm, _plus(heads @ layer.w_o.flatten(1).T, layer.b_o))
        self.mlp_post_scale = _scale(layer.mlp_post_norm, _plus(self.neurons @ layer.w_down.T, layer.b_down))

    @cached_property
    def weighted_pattern(self) -> Float[Tensor, "h p p"]:
        """Patterns `[h, query, key]` times the scales of both norms, which are numbers a position."""
        pattern = self.pattern
        if self.attn_scale is not None:
            pattern = pattern * self.attn_scale[:, 0]
        if self.attn_post_scale is not None:
            pattern = pattern * self.attn_post_scale
        return pattern

    @property
    def values(self) -> Float[Tensor, "g c d"]:
        """W_V with the norm before it folded in."""
        norm = self.layer.attn_norm
        return self.layer.w_v if norm is None else norm.centre(self.layer.w_v * norm.weight)

    @property
    def outputs(self) -> Float[Tensor, "h d c"]:
        """W_O of each head with the norm after it folded in."""
        w_o = self.layer.w_o.permute(1, 0, 2)
        norm = self.layer.attn_post_norm
        if norm is None:
            return w_o
        centred = w_o - w_o.mean(1, keepdim=True) if norm.centred else w_o
        return norm.weight[:, None] * centred

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
        norm, layer, gates = self.layer.mlp_norm, self.layer, self.gates
        x = torch.zeros_like(self.stream[0]) if norm is None or norm.bias is None else norm.bias
        before = _plus(layer.w_gate[units] @ x, _of(layer.bias_in(first=True), units))
        constants = gates.c_gate[positions, units] * before
        if gates.c_up is None:
            return constants
        beside = _plus(layer.w_up[units] @ x, _of(layer.bias_in(first=False), units))
        return constants + gates.c_up[positions, units] * beside

    def pull_units(self, gradients: Float[Tensor, "p u"]) -> Float[Tensor, "p d"]:
        """From gradients on hidden units to the stream that the MLP's norm reads."""
        layer, norm = self.layer, self.layer.mlp_norm
        g = (gradients * self.gates.c_gate) @ layer.w_gate
        if self.gates.c_up is not None:
            g = g + (gradients * self.gates.c_up) @ layer.w_up
        return g if norm is None or self.mlp_scale is None else norm.pull(g, self.mlp_scale)

    def attended(self, stream: Float[Tensor, "p d"]) -> Float[Tensor, "p d"]:
        """What attention adds for a stream through the frozen pattern and norms, constants left out."""
        return self.push_attention(stream[None])[0]

    def push_attention(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From streams to what attention adds to them, through the frozen pattern and norms, constants left out.

        Args:
            x: over positions from `start` on, zero before.
            start: the prompt's position that is first in `x`.
        """
        size = self.layer.sizes
        n, p, _ = x.shape
        weights, pattern = self.values.to(x.dtype), self._pattern(start, p).to(x.dtype)
        values = (x.reshape(n * p, size.d) @ weights.reshape(-1, size.d).T).view(n, p, size.g, size.c)
        mixed = x.new_empty(n, p, size.g, size.h // size.g, size.c)
        for group in range(size.g):
            of_group = values[:, :, group].transpose(0, 1).reshape(p, n * size.c)
            mixed[:, :, group] = (pattern[group] @ of_group).view(-1, p, n, size.c).permute(2, 1, 0, 3)
        outputs = self.outputs.to(x.dtype).transpose(1, 2).reshape(-1, size.d)
        return (mixed.view(n * p, -1) @ outputs).view(n, p, size.d)

    def pull_attention(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From gradients after attention to those that its heads' reading adds before it: the transpose of push.

        Args:
            g: over positions from `start` on; those that are left out hold no gradient or do not matter.
            start: the prompt's position that is first in `g`.
        """
        size = self.layer.sizes
        n, p, _ = g.shape
        outputs = self.outputs.permute(1, 0, 2).reshape(size.d, size.h * size.c)
        heads = (g.reshape(n * p, size.d) @ outputs).view(n, p, size.g, -1, size.c)
        pattern = self._pattern(start, p)
        mixed = g.new_empty(n, p, size.g, size.c)
        for group in range(size.g):
            of_group = heads[:, :, group].permute(2, 1, 0, 3).reshape(-1, n * size.c)
            mixed[:, :, group] = (pattern[group].T @ of_group).view(p, n, size.c).transpose(0, 1)
        return (mixed.view(n * p, -1) @ self.values.reshape(-1, size.d)).view(n, p, size.d)

    def _pattern(self, start: int, p: int) -> Float[Tensor, "g hq k"]:
        """Patterns among some positions; the heads of one key/value head, which stand together, as rows of one matrix.

        Positions and heads are laid out so that every step is one large matrix product.
        """
        window = self.weighted_pattern[:, start : start + p, start : start + p]
        return window.reshape(self.layer.sizes.g, -1, p)

    @cached_property
    def attn_constant(self) -> Float[Tensor, "p d"]:
        """What attention adds whatever the stream: biases of its norms, of values and of the output."""
        layer = self.layer
        value = torch.zeros_like(layer.w_v[..., 0])
        if layer.attn_norm is not None and layer.attn_norm.bias is not None:
            value = value + layer.w_v @ layer.attn_norm.bias
        if layer.b_v is not None:
            value = value + layer.b_v
        spread = value.repeat_interleave(layer.sizes.h // layer.sizes.g, 0)
        mixed = torch.einsum("hqk,hc,dhc->qd", self.pattern, spread, layer.w_o)
        return _through(layer.attn_post_norm, self.attn_post_scale, _plus(mixed, layer.b_o))

    @cached_property
    def mlp_constant(self) -> Float[Tensor, "p d"]:
        """What the MLP adds whatever its units: the down projection's and the post-norm's biases."""
        layer = self.layer
        raw = _plus(torch.zeros_like(self.stream), layer.b_down)
        return _through(layer.mlp_post_norm, self.mlp_post_scale, raw)


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
    def n_positions(self) -> int:
        """Tokens of the prompt."""
        return self.embed.shape[0]

    def logits(self, position: int) -> Float[Tensor, "v"]:
        """Logits before any soft-cap, at one position."""
        return _plus(self.anatomy.w_u @ self.normed[position], self.anatomy.b_u)

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
    names = ["attn.pattern.*", "attn.heads.*", "attn.out.*", "mlp.in.*", "mlp.neurons.*", "mlp.out.*", "resid.*"]
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
        gate, up, share = _expert_inputs(layer, layer.experts, run[f"mlp.in.{index}"][0])
    else:
        gate = run[f"mlp.gate.{index}"][0]
        up = run[f"mlp.up.{index}"][0] if layer.gated else None
        share = torch.ones((), dtype=gate.dtype, device=gate.device)
    with torch.no_grad():
        ratio = torch.where(gate == 0, ACTIVATION_AT_ZERO, layer.activation(gate) / gate) * share
    if up is None:
        return Gates(ratio, None)
    return Gates(ratio * up / 2, ratio * gate / 2)


def _expert_inputs(layer: Layer, experts: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gates and second factors of all experts, and the routing weight of each unit's expert."""
    with torch.no_grad():
        _, weights, chosen = layer.mlp.get_submodule("gate")(x)
    both = experts.get_parameter("gate_up_proj").detach()
    share = routing(weights, chosen, both.shape[0]).to(x.dtype)
    return x @ layer.w_gate.T, x @ layer.w_up.T, share.repeat_interleave(both.shape[1] // 2, 1)


def _scale(norm: Norm | None, x: Tensor) -> Tensor | None:
    return None if norm is None else norm.scale(x)


def _plus(x: Tensor, bias: Tensor | None) -> Tensor:
    return x if bias is None else x + bias


def _of(bias: Tensor | None, units: Tensor) -> Tensor | None:
    return None if bias is None else bias[units]


def _through(norm: Norm | None, scale: Tensor | None, x: Tensor) -> Tensor:
    if norm is None or scale is None:
        return x
    return _plus(norm.push(x, scale), norm.bias)
