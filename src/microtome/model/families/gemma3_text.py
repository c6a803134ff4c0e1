"""Gemma 3, text only: Gemma 2 with norms on queries and keys and two rotary tables."""

from microtome.model.families.gemma2 import GEMMA2
from microtome.model.family import FAMILIES

FAMILIES.add("gemma3_text", GEMMA2, summary="Gemma 3 text: Gemma 2 with q and k norms", home=__name__)
