"""GPT-2: learned positions, LayerNorms, biases everywhere, weights stored transposed (Conv1D)."""

from microtome.model.family import FAMILIES, Family

GPT2 = Family(
    layers="transformer.h",
    embed="transformer.wte",
    positions="transformer.wpe",
    final_norm="transformer.ln_f",
    attention="attn",
    values="attn.c_attn",
    values_layout="blocks",
    heads_out="attn.c_proj",
    gate="mlp.c_fc",
    up=None,
    down="mlp.c_proj",
    mlp_layout="plain",
    activation="mlp.act",
    attn_norm="ln_1",
    mlp_norm="ln_2",
)
FAMILIES.add("gpt2", GPT2, summary="GPT-2: learned positions, LayerNorms, no gate", home=__name__)
