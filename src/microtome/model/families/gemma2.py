"""Gemma 2: norms before and after each branch, soft-caps on attention and logits, scaled embeddings.

The embedding's scale sits inside the embedding module, so only the module's output is ever used.
"""

from transformers import PretrainedConfig

from microtome.model.family import FAMILIES, LLAMA, Settings


def settings(config: PretrainedConfig) -> Settings:
    """The config holds the cap on the logits, or None."""
    return Settings(softcap=config.final_logit_softcapping)


GEMMA2 = LLAMA.but(
    attn_post_norm="post_attention_layernorm",
    mlp_norm="pre_feedforward_layernorm",
    mlp_post_norm="post_feedforward_layernorm",
    settings=settings,
)
FAMILIES.add("gemma2", GEMMA2, summary="Gemma 2: norms around both branches, soft-caps", home=__name__)
