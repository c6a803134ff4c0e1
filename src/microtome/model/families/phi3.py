"""Phi 3: Llama with q, k, v in one matrix (in blocks) and gate and up in another (gate first)."""

from microtome.model.family import FAMILIES, LLAMA

PHI3 = LLAMA.but(
    values="self_attn.qkv_proj",
    values_layout="blocks",
    gate="mlp.gate_up_proj",
    up=None,
    mlp_layout="fused",
    activation="mlp.activation_fn",
)
FAMILIES.add("phi3", PHI3, summary="Phi 3: Llama with fused matrices", home=__name__)
