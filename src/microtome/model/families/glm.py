"""GLM (ChatGLM 4): Llama with gate and up in one matrix (gate first); half of each head is rotated."""

from microtome.model.family import FAMILIES, LLAMA

GLM = LLAMA.but(gate="mlp.gate_up_proj", up=None, mlp_layout="fused", activation="mlp.activation_fn")
FAMILIES.add("glm", GLM, summary="GLM: Llama with a fused MLP", home=__name__)
