"""Llama and what shares its code: SmolLM, TinyLlama, Vicuna. Biases are options of the config."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("llama", LLAMA, summary="Llama, SmolLM: RMS norms, gated SiLU", home=__name__)
