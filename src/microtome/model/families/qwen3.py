"""Qwen 3: Llama with norms on queries and keys, which shape only the attention pattern."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("qwen3", LLAMA, summary="Qwen 3: Llama with q and k norms", home=__name__)
