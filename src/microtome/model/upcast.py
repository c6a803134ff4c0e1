"""A float32 copy of a 16-bit model: rounding would drown what attribution measures."""

import copy

import torch

from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy
from microtome.model.model import Model


def in_float32(model: Model) -> Model:
    """The model itself where it is float32 or float64, else a copy in float32.

    Raises:
        WrongUse: edits are in force, which a copy would not have and no run card would tell of.
    """
    if model.edited:
        raise WrongUse(
            "attribute in a model under edits", found="edits in force", do="leave the `with model.edit(…)` block first"
        )
    if model.dtype in (torch.float32, torch.float64):
        return model
    family = model.anatomy.family
    module = copy.deepcopy(model.anatomy.module).float()
    anatomy = Anatomy(module, family)
    return Model(module, model.tokenizer, anatomy, name=model.name, fingerprint=model.fingerprint)
