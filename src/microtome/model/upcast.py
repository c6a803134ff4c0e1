"""The model that attribution works in: float32, with plain weights, and found to be exact.

Rounding to 16 bits would drown what attribution measures, so 16-bit models are copied.
"""

import copy

import torch

from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy
from microtome.model.certificate import ATTRIBUTION, relied_on
from microtome.model.model import Model
from microtome.model.projections import require_plain_weights


def in_float32(model: Model) -> Model:
    """The model itself where it is float32 or float64, else a copy in float32.

    Args:
        model: with or without a certificate; what it measured counts where there is one.

    Raises:
        WrongUse: edits are in force, which a copy would not have and no run card would tell of.
        NotSupported: what a projection computes is not its weight, as with LoRA put in place.
        CheckFailed: the certificate found that the model cannot be frozen exactly.
    """
    if model.edited:
        raise WrongUse(
            "attribute in a model under edits", found="edits in force", do="leave the `with model.edit(…)` block first"
        )
    what = f"attribute what {model.name!r} says to its parts"
    require_plain_weights(model.anatomy, what)
    relied_on(model.certificate, ATTRIBUTION, what)
    return float32_copy(model)


def float32_copy(model: Model) -> Model:
    """The same without any check, as the certificate itself needs it."""
    if model.dtype in (torch.float32, torch.float64):
        return model
    family = model.anatomy.family
    module = copy.deepcopy(model.anatomy.module).float()
    made = Model(module, model.tokenizer, Anatomy(module, family), name=model.name, fingerprint=model.fingerprint)
    made.certificate = model.certificate
    return made
