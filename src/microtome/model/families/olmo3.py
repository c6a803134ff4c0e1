"""OLMo 3: OLMo 2 with a sliding window in three of four layers."""

from microtome.model.families.olmo2 import OLMO2
from microtome.model.family import FAMILIES

FAMILIES.add("olmo3", OLMO2, summary="OLMo 3: OLMo 2 with windows", home=__name__)
