"""ERNIE 4.5: Llama with rotary positions interleaved, and biases that the config turns on everywhere."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("ernie4_5", LLAMA, summary="ERNIE 4.5: Llama with optional biases", home=__name__)
