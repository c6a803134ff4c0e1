"""One layer's attention at one prompt, its pattern and the scales of the norms around it held: a linear map.

Names: push goes up the network, pull is its transpose. Between the two halves of either stand the heads' mixes of
values, all heads side by side, `hc`.
"""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.model.anatomy import Layer
from microtome.model.norms import plus, scale_of, through
from microtome.model.run import Run


class FrozenAttention:
    """Attention of one layer.

    Attributes:
        stream: what its norm reads, `[p, d]`; `given`: what it gives, which attention reads.
        pattern: `[h, query, key]`.
        heads: each head's mix of values, `[p, hc]`.
        out: what it adds to the stream, `[p, d]`.
        scale, post_scale: of the norms before and after it, `[p, 1]`, or None.
    """

    def __init__(self, layer: Layer, run: Run, index: int):
        self.layer = layer
        self.stream: Float[Tensor, "p d"] = run[f"resid.{index}"][0]
        self.given: Float[Tensor, "p d"] = run[f"attn.in.{index}"][0]
        self.pattern: Float[Tensor, "h p p"] = run[f"attn.pattern.{index}"][0]
        self.heads: Float[Tensor, "p hc"] = run[f"attn.heads.{index}"][0].flatten(1)
        self.out: Float[Tensor, "p d"] = run[f"attn.out.{index}"][0]
        self.scale = scale_of(layer.attn_norm, self.stream)
        self.post_scale = scale_of(layer.attn_post_norm, plus(self.heads @ layer.w_o.flatten(1).T, layer.b_o))

    @cached_property
    def weighted_pattern(self) -> Float[Tensor, "h p p"]:
        """Patterns `[h, query, key]` times the scales of both norms, which are numbers a position."""
        pattern = self.pattern
        if self.scale is not None:
            pattern = pattern * self.scale[:, 0]
        if self.post_scale is not None:
            pattern = pattern * self.post_scale
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
    def head_writes(self) -> Float[Tensor, "d hc"]:
        """What coordinates of heads write, with the norm after attention folded in but for its scale."""
        return self.outputs.permute(1, 0, 2).flatten(1)

    @property
    def heads_scale(self) -> Float[Tensor, "p 1"]:
        """The scale of the norm after attention, by which `push_heads` multiplies; ones where there is none."""
        return torch.ones_like(self.stream[:, :1]) if self.post_scale is None else self.post_scale

    def heads_to_stream(self, values: Float[Tensor, "p hc"]) -> Float[Tensor, "p d"]:
        """What mixes of values add to the stream through W_O and any norm after attention, without constants."""
        return self.push_outputs((values * self.heads_scale.to(values))[None])[0]

    def attended(self, stream: Float[Tensor, "p d"]) -> Float[Tensor, "p d"]:
        """What attention adds for a stream through the frozen pattern and norms, constants left out."""
        return self.push(stream[None])[0]

    def push(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From streams to what attention adds to them, through the frozen pattern and norms, constants left out.

        Args:
            x: over positions from `start` on, zero before.
            start: the prompt's position that is first in `x`.
        """
        return self.push_outputs(self.push_heads(x, start))

    def push_heads(self, x: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p hc"]:
        """The first half of it: each head's mix of values, times the scale of any norm after attention."""
        size = self.layer.sizes
        n, p, _ = x.shape
        weights, pattern = self.values.to(x.dtype), self._pattern(start, p).to(x.dtype)
        values = (x.reshape(n * p, size.d) @ weights.reshape(-1, size.d).T).view(n, p, size.g, size.c)
        mixed = x.new_empty(n, p, size.g, size.h // size.g, size.c)
        for group in range(size.g):
            of_group = values[:, :, group].transpose(0, 1).reshape(p, n * size.c)
            mixed[:, :, group] = (pattern[group] @ of_group).view(-1, p, n, size.c).permute(2, 1, 0, 3)
        return mixed.view(n, p, size.h * size.c)

    def push_outputs(self, mixed: Float[Tensor, "n p hc"]) -> Float[Tensor, "n p d"]:
        """The second half: what heads add through W_O."""
        outputs = self.outputs.to(mixed.dtype).transpose(1, 2).reshape(-1, self.layer.sizes.d)
        return mixed @ outputs

    def pull(self, g: Float[Tensor, "n p d"], start: int = 0) -> Float[Tensor, "n p d"]:
        """From gradients after attention to those that its heads' reading adds before it: the transpose of push.

        Args:
            g: over positions from `start` on; those that are left out hold no gradient or do not matter.
            start: the prompt's position that is first in `g`.
        """
        return self.pull_heads(self.pull_outputs(g), start)

    def pull_outputs(self, g: Float[Tensor, "n p d"]) -> Float[Tensor, "n p hc"]:
        """The first half of it: to gradients on each head's mix of values, as `push_heads` gives it."""
        size = self.layer.sizes
        return g @ self.outputs.to(g.dtype).permute(1, 0, 2).reshape(size.d, size.h * size.c)

    def pull_heads(self, heads: Float[Tensor, "n p hc"], start: int = 0) -> Float[Tensor, "n p d"]:
        """The second half: through values and the pattern, to the stream at the keys."""
        size = self.layer.sizes
        n, p, _ = heads.shape
        heads, pattern = heads.view(n, p, size.g, -1, size.c), self._pattern(start, p).to(heads.dtype)
        mixed = heads.new_empty(n, p, size.g, size.c)
        for group in range(size.g):
            of_group = heads[:, :, group].permute(2, 1, 0, 3).reshape(-1, n * size.c)
            mixed[:, :, group] = (pattern[group].T @ of_group).view(p, n, size.c).transpose(0, 1)
        return (mixed.view(n * p, -1) @ self.values.to(heads.dtype).reshape(-1, size.d)).view(n, p, size.d)

    def _pattern(self, start: int, p: int) -> Float[Tensor, "g hq k"]:
        """Patterns among some positions; the heads of one key/value head, which stand together, as rows of one matrix.

        Positions and heads are laid out so that every step is one large matrix product.
        """
        window = self.weighted_pattern[:, start : start + p, start : start + p]
        return window.reshape(self.layer.sizes.g, -1, p)

    @cached_property
    def heads_constant(self) -> Float[Tensor, "p hc"]:
        """What heads mix whatever the stream (biases of the norm before and of values), as `push_heads` scales it."""
        layer = self.layer
        value = torch.zeros_like(layer.w_v[..., 0])
        if layer.attn_norm is not None and layer.attn_norm.bias is not None:
            value = value + layer.w_v @ layer.attn_norm.bias
        if layer.b_v is not None:
            value = value + layer.b_v
        spread = value.repeat_interleave(layer.sizes.h // layer.sizes.g, 0)
        mixed = torch.einsum("hqk,hc->qhc", self.pattern, spread).flatten(1)
        return mixed if self.post_scale is None else mixed * self.post_scale

    @cached_property
    def output_constant(self) -> Float[Tensor, "p d"]:
        """What attention adds whatever its heads mix: biases of the output and of any norm after it."""
        raw = plus(torch.zeros_like(self.stream), self.layer.b_o)
        return through(self.layer.attn_post_norm, self.post_scale, raw)

    @cached_property
    def constant(self) -> Float[Tensor, "p d"]:
        """What attention adds whatever the stream: biases of its norms, of values and of the output."""
        return self.push_outputs(self.heads_constant[None])[0] + self.output_constant
