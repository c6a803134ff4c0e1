"""Command R7B and A: Command R with windows, and layers without positions, which shape only the attention pattern."""

from microtome.model.families.cohere import COHERE
from microtome.model.family import FAMILIES

FAMILIES.add("cohere2", COHERE, summary="Command R7B, A: Command R with windows", home=__name__)
