"""GLM-4 (0414): norms before and after each branch under names of its own, gate and up in one matrix."""

from microtome.model.families.glm import GLM
from microtome.model.family import FAMILIES

GLM4 = GLM.but(attn_post_norm="post_self_attn_layernorm", mlp_post_norm="post_mlp_layernorm")
FAMILIES.add("glm4", GLM4, summary="GLM-4: norms around both branches, a fused MLP", home=__name__)
