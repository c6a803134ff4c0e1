"""Code World Model: Llama with a sliding window in some layers."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("cwm", LLAMA, summary="CWM: Llama with a window in some layers", home=__name__)
