"""Mixtral: Llama with experts; a unit is one hidden unit of one expert, its routing weight folded in."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("mixtral", LLAMA.but(experts="mlp.experts"), summary="Mixtral: Llama with experts", home=__name__)
