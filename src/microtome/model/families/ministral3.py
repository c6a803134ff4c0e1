"""Ministral 3: Mistral with queries scaled by position, which shapes only the attention pattern."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("ministral3", LLAMA, summary="Ministral 3: Mistral with scaled queries", home=__name__)
