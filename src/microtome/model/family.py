"""What a model family is to us: a table from our sites to its module paths.

A row names modules; everything that can be measured is measured when a model is opened (the kind of a
norm, head counts, the activation), so a family says only what cannot be seen from the module itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from transformers import PretrainedConfig

from microtome.core.registry import Registry


def never(config: PretrainedConfig) -> bool:
    """Sequential at any setting."""
    return False


def always(config: PretrainedConfig) -> bool:
    """Parallel at any setting."""
    return True


@dataclass(frozen=True)
class Family:
    """Where a decoder family keeps its parts. Paths start at the root or, below, at a layer.

    Attributes:
        layers, embed, final_norm, unembed: from the root.
        positions: learned positions, a second source of the stream.
        attention, mlp: the two branches, from a layer.
        values: the module that makes values; `values_layout` says how they lie in its output:
            `own` (nothing else), `blocks` (all q, all k, all v), `heads` (q, k, v of each head in turn).
        heads_out: W_O, from a layer.
        gate, up, down: the MLP's matrices; `gate` is the first matrix where there is no gate.
            `mlp_layout`: `gated`, `fused` (gate rows, then up rows, in `gate`), `plain` (no gate).
        activation: the MLP's nonlinearity.
        experts: the module of stacked experts, in layers that have one.
        *_norm: norms before and after each branch, None where there is none.
        parallel: whether both branches read the stream entering the layer.
        softcap: the config key of a cap on the final logits.
    """

    layers: str = "model.layers"
    embed: str = "model.embed_tokens"
    final_norm: str = "model.norm"
    unembed: str = "lm_head"
    positions: str | None = None
    attention: str = "self_attn"
    values: str = "self_attn.v_proj"
    values_layout: Literal["own", "blocks", "heads"] = "own"
    heads_out: str = "self_attn.o_proj"
    mlp: str = "mlp"
    gate: str = "mlp.gate_proj"
    up: str | None = "mlp.up_proj"
    down: str = "mlp.down_proj"
    mlp_layout: Literal["gated", "fused", "plain"] = "gated"
    activation: str = "mlp.act_fn"
    experts: str | None = None
    attn_norm: str | None = "input_layernorm"
    attn_post_norm: str | None = None
    mlp_norm: str | None = "post_attention_layernorm"
    mlp_post_norm: str | None = None
    parallel: Callable[[PretrainedConfig], bool] = never
    softcap: str | None = None

    def but(self, **changes: Any) -> "Family":
        """A relative that differs only in what is named."""
        return replace(self, **changes)


FAMILIES: Registry[Family] = Registry("family", folder="microtome.model.families")

LLAMA = Family()
"""The most common layout, and the one that the others are told apart from."""
