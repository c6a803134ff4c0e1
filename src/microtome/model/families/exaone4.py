"""EXAONE 4: OLMo 2 with norms on each head's queries and keys, which shape only the attention pattern."""

from microtome.model.families.olmo2 import OLMO2
from microtome.model.family import FAMILIES

FAMILIES.add("exaone4", OLMO2, summary="EXAONE 4: norms on the outputs only", home=__name__)
