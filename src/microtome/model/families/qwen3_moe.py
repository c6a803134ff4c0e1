"""Qwen 3 MoE: Qwen 3 with experts in the layers that the config makes sparse."""

from microtome.model.family import FAMILIES, LLAMA, Sparse

FAMILIES.add("qwen3_moe", LLAMA.but(sparse=Sparse()), summary="Qwen 3 with experts", home=__name__)
