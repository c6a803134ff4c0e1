"""StableLM: Llama with LayerNorms; where the config says so, one norm feeds both branches in parallel."""

from typing import Any

from transformers import PretrainedConfig

from microtome.model.family import FAMILIES, LLAMA, Settings


def settings(config: PretrainedConfig) -> Settings:
    """The config decides whether branches are parallel."""
    return Settings(parallel=bool(config.use_parallel_residual))


def variant(config: PretrainedConfig) -> dict[str, Any]:
    """Parallel layers have no second norm."""
    return {"mlp_norm": "input_layernorm"} if config.use_parallel_residual else {}


STABLELM = LLAMA.but(settings=settings, variant=variant)
FAMILIES.add("stablelm", STABLELM, summary="StableLM: Llama with LayerNorms", home=__name__)
