"""Gemma 1: Llama with a scaled embedding, which lies inside the embedding module, and norms by 1 + w."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("gemma", LLAMA, summary="Gemma 1: Llama with norms by 1 + w", home=__name__)
