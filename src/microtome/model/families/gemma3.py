"""Gemma 3 with its vision tower: the text layers lie one module deeper; only text is run."""

from microtome.model.families.gemma2 import GEMMA2
from microtome.model.family import FAMILIES

GEMMA3 = GEMMA2.but(
    layers="model.language_model.layers",
    embed="model.language_model.embed_tokens",
    final_norm="model.language_model.norm",
)
FAMILIES.add("gemma3", GEMMA3, summary="Gemma 3 with vision: the text layers of the wrapper", home=__name__)
