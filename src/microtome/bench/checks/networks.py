"""A small random network of any family, on which batteries try what is registered: no download, no tokenizer."""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from microtome.core import fingerprint
from microtome.core.errors import NotSupported
from microtome.model.attention import register
from microtome.model.model import Model
from microtome.model.opening import anatomy_of

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
SIZES: dict[str, Any] = {
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
LARGEST = 2_000_000  # weights


def small_network(family: str = "llama", **changes: Any) -> Model:
    """A model of this `model_type` in float64, every parameter drawn anew: norms and biases are never at defaults.

    Raises:
        NotSupported: its configuration does not take the usual names of sizes, and would make a large one.
    """
    config = AutoConfig.for_model(family, **{**SIZES, **changes})
    with torch.device("meta"):
        size = sum(one.numel() for one in AutoModelForCausalLM.from_config(config).parameters())
    if size > LARGEST:
        raise NotSupported(
            f"make a small network of the family {family!r}",
            found=f"{size:,} weights: its configuration does not take {', '.join(list(SIZES)[:3])}, …",
            do="run the checks of `microtome.bench.checks.families` on a small network of your own",
        )
    module = AutoModelForCausalLM.from_config(config, attn_implementation=register()).double().eval()
    module.requires_grad_(False)
    draw = torch.Generator().manual_seed(0)
    for name, one in module.named_parameters():
        noise = torch.randn(one.shape, generator=draw, dtype=torch.float64)
        centre = 1.0 if "norm" in name or "ln_" in name else 0.0
        one.copy_(centre + noise / 2 if one.ndim == 1 else noise * one.shape[-1] ** -0.5)
    return Model(module, None, anatomy_of(module), name=f"small {family}", fingerprint=fingerprint.of_module(module))
