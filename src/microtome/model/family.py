"""What a model family is to us: a table from our sites to its module paths.

A row names modules; everything that can be measured is measured when a model is opened (the kind of a
norm, head counts, the activation), so a family says only what cannot be seen from the module itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from transformers import PretrainedConfig

from microtome.core.registry import Registry


@dataclass(frozen=True)
class Settings:
    """What a config decides of a family beside where its parts lie.

    Attributes:
        parallel: whether both branches read the stream entering the layer.
        branch_scale: by what a layer multiplies what each branch adds, outside of any module.
        logit_scale: by what the network multiplies what its unembedding gives.
        softcap: a cap on the final logits, or None.
    """

    parallel: bool = False
    branch_scale: float = 1.0
    logit_scale: float = 1.0
    softcap: float | None = None


@dataclass(frozen=True)
class Sparse:
    """Where layers that have experts keep them.

    Attributes:
        experts: the module of stacked experts, from a layer.
        router: the module that chooses among them, from a layer.
        woven: gate and up are columns in turn, of matrices that stand transposed and have biases, and 1 is added to up;
            otherwise all gate rows of an expert come before its up rows.
    """

    experts: str = "mlp.experts"
    router: str = "mlp.gate"
    woven: bool = False


def plain(config: PretrainedConfig) -> Settings:
    """Branches one after the other, and nothing scaled or capped, at any setting."""
    return Settings()


def parallel(config: PretrainedConfig) -> Settings:
    """Parallel branches at any setting."""
    return Settings(parallel=True)


def as_written(config: PretrainedConfig) -> dict[str, Any]:
    """The table as it stands, at any setting."""
    return {}


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
        sparse: of layers that have experts in the place of these matrices.
        *_norm: norms before and after each branch, None where there is none.
        settings: what the config decides beside.
        variant: rows of this table that differ at a config's settings.
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
    sparse: Sparse | None = None
    attn_norm: str | None = "input_layernorm"
    attn_post_norm: str | None = None
    mlp_norm: str | None = "post_attention_layernorm"
    mlp_post_norm: str | None = None
    settings: Callable[[PretrainedConfig], Settings] = plain
    variant: Callable[[PretrainedConfig], dict[str, Any]] = as_written

    def but(self, **changes: Any) -> "Family":
        """A relative that differs only in what is named."""
        return replace(self, **changes)

    def at(self, config: PretrainedConfig) -> "Family":
        """The table for a config's settings."""
        return self.but(**self.variant(config))


FAMILIES: Registry[Family] = Registry("family", folder="microtome.model.families")

LLAMA = Family()
"""The most common layout, and the one that the others are told apart from."""
