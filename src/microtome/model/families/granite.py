"""Granite: Llama with four constants: on the embedding, attention scores, what each branch adds, and the logits.

The first two act before what we read of them: the stream that enters layer 0 is scaled already, and the attention
function is given its scale.
"""

from transformers import PretrainedConfig

from microtome.model.family import FAMILIES, LLAMA, Settings


def settings(config: PretrainedConfig) -> Settings:
    """The config holds what branches are multiplied by, and what logits are divided by."""
    return Settings(branch_scale=float(config.residual_multiplier), logit_scale=1 / float(config.logits_scaling))


FAMILIES.add(
    "granite", LLAMA.but(settings=settings), summary="Granite: Llama with scaled branches and logits", home=__name__
)
