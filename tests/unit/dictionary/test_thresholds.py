"""Thresholds of JumpReLU, which are trained as they are."""

import torch

from microtome.dictionary.architecture import Moment
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.geometry import sae
from microtome.dictionary.starting import untrained


def test_thresholds_below_zero_are_held_at_zero():
    dictionary = untrained(sae("resid.0", 8, 16), JumpReLU(window=0.4), seed=0)
    threshold = next(dictionary.units).extra("threshold")
    x = torch.randn(32, 1, 8, generator=torch.Generator().manual_seed(0))
    outcome = dictionary.architecture.outcome(dictionary, x, x, Moment(1.0, (torch.zeros(16, dtype=torch.bool),)))
    with torch.no_grad():
        threshold[:8] = -0.1
    dictionary.architecture.settle(outcome)
    assert (threshold[:8] == 0).all()
    torch.testing.assert_close(threshold[8:], torch.full((8,), 0.01))
