"""Seed-OSS: Llama with biases on q, k and v, and on the output where the config says so."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("seed_oss", LLAMA, summary="Seed-OSS: Llama with q, k, v biases", home=__name__)
