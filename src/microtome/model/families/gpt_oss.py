"""GPT-OSS: experts with biases and clamped gates, and a sink in each head, which takes attention and gives nothing."""

from microtome.model.family import FAMILIES, LLAMA, Sparse

GPT_OSS = LLAMA.but(sparse=Sparse(router="mlp.router", woven=True))
FAMILIES.add("gpt_oss", GPT_OSS, summary="GPT-OSS: experts with biases, attention sinks", home=__name__)
