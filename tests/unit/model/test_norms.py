"""Norms as formulas: they follow their modules, also after the weights have been changed in place."""

import pytest
import torch

from tiny_models import tiny_model

ROUNDED = 1e-5  # RMS norms of transformers round to float32


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_a_norm_whose_weights_are_changed_in_place_is_the_changed_one(family):
    anatomy = tiny_model(family).anatomy
    module, norm = anatomy.final_norm_module, anatomy.final_norm
    x = torch.randn(3, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for parameter in module.parameters():
        parameter.mul_(3)
    found = norm.push(x, norm.scale(x)) + (0 if norm.bias is None else norm.bias)
    torch.testing.assert_close(found, module(x), rtol=ROUNDED, atol=ROUNDED)
