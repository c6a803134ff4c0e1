"""Mistral: Llama with a sliding window, which shapes only the attention mask."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("mistral", LLAMA, summary="Mistral: Llama with a sliding window", home=__name__)
