"""Phi 1 and 2: one LayerNorm feeds both branches in parallel; biases everywhere, on the logits too."""

from microtome.model.family import FAMILIES, Family, parallel

PHI = Family(
    final_norm="model.final_layernorm",
    heads_out="self_attn.dense",
    gate="mlp.fc1",
    up=None,
    down="mlp.fc2",
    mlp_layout="plain",
    activation="mlp.activation_fn",
    mlp_norm="input_layernorm",
    settings=parallel,
)
FAMILIES.add("phi", PHI, summary="Phi 1, 2: one norm for both parallel branches", home=__name__)
