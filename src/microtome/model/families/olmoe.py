"""OLMoE: Llama with experts, and norms on queries and keys, which shape only the attention pattern."""

from microtome.model.family import FAMILIES, LLAMA, Sparse

FAMILIES.add("olmoe", LLAMA.but(sparse=Sparse()), summary="OLMoE: Llama with experts", home=__name__)
