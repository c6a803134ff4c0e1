"""Small random networks of every family: odd sizes, biases and windows on, random norms, no download."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

from microtome.model.attention import register
from microtome.model.model import Model
from microtome.model.opening import anatomy_of, network_of

COMMON: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WINDOW: dict[str, Any] = {"sliding_window": 4}
ODD_HEADS: dict[str, Any] = {"head_dim": 10}
BIASES: dict[str, Any] = {"attention_bias": True}
GPT2: dict[str, Any] = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_inner": 40, "n_positions": 64}

# A new family is one line here.
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**BIASES, **ODD_HEADS, "mlp_bias": True},
    "mistral": {**WINDOW, **ODD_HEADS},
    "qwen2": {**WINDOW, "use_sliding_window": True, "max_window_layers": 1},
    "qwen3": {**BIASES, **ODD_HEADS},
    "gemma2": {**WINDOW, **ODD_HEADS, **BIASES, "query_pre_attn_scalar": 13},
    "gemma3_text": {**WINDOW, **ODD_HEADS, **BIASES},
    "olmo2": BIASES,
    "gpt2": GPT2,
    "gpt_neox": {"use_parallel_residual": True},
    "phi": {"qk_layernorm": True, "hidden_size": 32},
    "phi3": WINDOW,
    "mixtral": {**WINDOW, "num_local_experts": 3, "num_experts_per_tok": 2},
    "qwen3_moe": {
        **BIASES, **ODD_HEADS, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 14,
        "mlp_only_layers": [1],
    },
    "gemma": {**ODD_HEADS, **BIASES},
    "smollm3": {**BIASES, "no_rope_layer_interval": 2, "mlp_bias": True, "use_sliding_window": True, **WINDOW},
    "seed_oss": {**ODD_HEADS, **BIASES, "attention_out_bias": True, "mlp_bias": True},
    "ernie4_5": {**ODD_HEADS, "use_bias": True},
    "cwm": {**ODD_HEADS, **WINDOW, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}},
    "stablelm": {"use_qkv_bias": True, "qk_layernorm": True, "hidden_size": 32},
    "ministral3": {
        **ODD_HEADS, **WINDOW,
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 10_000.0, "factor": 16.0, "llama_4_scaling_beta": 0.1,
            "original_max_position_embeddings": 4,
        },
    },
    "olmo3": {**BIASES, **WINDOW},
    "exaone4": {**WINDOW, "sliding_window_pattern": 2, "hidden_size": 32},
    "olmoe": {**BIASES, "num_experts": 3, "num_experts_per_tok": 2},
    "gpt_oss": {
        **WINDOW, **ODD_HEADS, "num_local_experts": 3, "num_experts_per_tok": 2, "swiglu_limit": 0.9,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0},
    },
    "granite": {
        **BIASES, "mlp_bias": True, "embedding_multiplier": 1.7, "attention_multiplier": 0.3,
        "residual_multiplier": 0.6, "logits_scaling": 2.3,
    },
    "glm": {**ODD_HEADS, **BIASES},
    "glm4": {**ODD_HEADS, **BIASES},
    "cohere": {**BIASES, "use_qk_norm": True, "logit_scale": 0.3},
    "cohere2": {**BIASES, **WINDOW, **ODD_HEADS, "sliding_window_pattern": 2, "logit_scale": 0.3},
}  # fmt: skip

# Families whose parts are laid out and combined as another's, so that what differs shapes only what is held: positions,
# windows, norms of queries and keys. Batteries over many cases run a few of them on these, and all on the other.
RELATIVES = {
    "gemma": "llama", "smollm3": "llama", "seed_oss": "llama", "ernie4_5": "llama", "cwm": "mistral",
    "ministral3": "mistral", "olmo3": "olmo2", "exaone4": "olmo2", "olmoe": "qwen3_moe", "glm": "phi3",
    "cohere2": "cohere",
}  # fmt: skip


def tiny_module(family: str, dtype: torch.dtype = torch.float64, seed: int = 0, **changes: Any) -> PreTrainedModel:
    """The bare Hugging Face module, every parameter drawn anew: norms and biases are never at their defaults."""
    config = AutoConfig.for_model(family, **{**COMMON, **FAMILIES[family], **changes})
    module = AutoModelForCausalLM.from_config(config, attn_implementation=register()).to(dtype).eval()
    module.requires_grad_(False)
    draw = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=draw, dtype=dtype)
        if name.endswith("bias"):
            parameter.copy_(noise / 2)
        elif "norm" in name or "ln_" in name:
            parameter.copy_(noise / 2 + (0 if "gemma" in family else 1))
        else:
            parameter.copy_(noise * parameter.shape[-1] ** -0.5)
    return module


def tiny_model(family: str, dtype: torch.dtype = torch.float64, seed: int = 0, **changes: Any) -> Model:
    """The same, opened; without a tokenizer."""
    module = tiny_module(family, dtype, seed, **changes)
    return Model(module, None, anatomy_of(module), name=f"tiny {family}", fingerprint="0" * 16)


# Networks that no family describes: what opens them, their sizes, and a pattern of modules in every layer.
BERT: dict[str, Any] = {"num_hidden_layers": 3, "intermediate_size": 40}
UNKNOWN: dict[str, tuple[Any, dict[str, Any], str]] = {
    "opt": (AutoModelForCausalLM, {"ffn_dim": 40, "word_embed_proj_dim": 24}, "model.decoder.layers.*.fc1"),
    "bloom": (AutoModelForCausalLM, {"n_layer": 3, "n_head": 4}, "transformer.h.*.mlp.dense_h_to_4h"),
    "falcon": (AutoModelForCausalLM, {"alibi": False}, "transformer.h.*.mlp"),
    "qwen2_moe": (
        AutoModelForCausalLM,
        {
            "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 20,
        },
        "model.layers.*.self_attn",
    ),
    "bert": (AutoModelForMaskedLM, BERT, "bert.encoder.layer.*.intermediate"),
    "albert": (AutoModelForMaskedLM, BERT | {"embedding_size": 16}, "albert.encoder"),
}  # fmt: skip


def unknown_module(kind: str, dtype: torch.dtype = torch.float32, **changes: Any) -> PreTrainedModel:
    """A random network of a kind that no family describes, as transformers makes it."""
    make, sizes, _ = UNKNOWN[kind]
    config = AutoConfig.for_model(kind, **{**COMMON, "tie_word_embeddings": False, **sizes, **changes})
    torch.manual_seed(0)
    return make.from_config(config, attn_implementation="eager").to(dtype).eval().requires_grad_(False)


def unknown_model(kind: str, dtype: torch.dtype = torch.float32) -> Model:
    """The same, opened; without a tokenizer."""
    module = unknown_module(kind, dtype)
    return Model(module, None, network_of(module), name=f"tiny {kind}", fingerprint="0" * 16)
