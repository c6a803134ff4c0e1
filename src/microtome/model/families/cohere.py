"""Command R: one LayerNorm without bias feeds both branches in parallel; logits are scaled by a constant."""

from transformers import PretrainedConfig

from microtome.model.family import FAMILIES, LLAMA, Settings


def settings(config: PretrainedConfig) -> Settings:
    """The config holds what logits are multiplied by."""
    return Settings(parallel=True, logit_scale=float(config.logit_scale))


COHERE = LLAMA.but(mlp_norm="input_layernorm", settings=settings)
FAMILIES.add("cohere", COHERE, summary="Command R: parallel branches, scaled logits", home=__name__)
