"""Mixtral: Llama with experts; a unit is one hidden unit of one expert, its routing weight folded in."""

from microtome.model.family import FAMILIES, LLAMA, Sparse

FAMILIES.add("mixtral", LLAMA.but(sparse=Sparse()), summary="Mixtral: Llama with experts", home=__name__)
