"""OLMo 2: no norm before a branch (both read the raw stream), one after each."""

from microtome.model.family import FAMILIES, LLAMA

OLMO2 = LLAMA.but(
    attn_norm=None,
    attn_post_norm="post_attention_layernorm",
    mlp_norm=None,
    mlp_post_norm="post_feedforward_layernorm",
)
FAMILIES.add("olmo2", OLMO2, summary="OLMo 2: norms on the outputs only", home=__name__)
