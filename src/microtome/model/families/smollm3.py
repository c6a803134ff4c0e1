"""SmolLM 3: Llama without rotary positions in every fourth layer, which shapes only the attention pattern."""

from microtome.model.family import FAMILIES, LLAMA

FAMILIES.add("smollm3", LLAMA, summary="SmolLM 3: Llama, some layers without positions", home=__name__)
