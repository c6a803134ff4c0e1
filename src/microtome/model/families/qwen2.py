"""Qwen 2: Llama with biases on q, k and v; the value bias reaches the output as a constant."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("qwen2", LLAMA, summary="Qwen 2: Llama with q, k, v biases", home=__name__)
