"""What every family must hold to, on a small random network of each, in float64, with odd sizes and settings."""

import pytest
import torch

from microtome.bench.checks.families import BATTERY, IDS
from microtome.model.attention import pattern_of
from microtome.model.family import FAMILIES as REGISTERED
from microtome.model.measuring import measure
from tiny_models import FAMILIES, RELATIVES, tiny_model

VARIANTS = {
    **{family: (family, {}) for family in FAMILIES},
    "gpt_neox, sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "llama, no biases, gelu": ("llama", {"attention_bias": False, "mlp_bias": False, "hidden_act": "gelu"}),
    "stablelm, parallel": ("stablelm", {"use_parallel_residual": True}),
    "gpt2, relu": ("gpt2", {"activation_function": "relu"}),
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    family, changes = VARIANTS[request.param]
    return tiny_model(family, **changes)


def test_every_family_has_its_line_in_the_table():
    assert {entry.name for entry in REGISTERED} - set(FAMILIES) == {"gemma3"}, "the wrapper of gemma3_text"


def test_relatives_have_the_table_of_their_family_but_for_where_values_lie():
    for name, relative in RELATIVES.items():
        ours, theirs = REGISTERED.get(name), REGISTERED.get(relative)
        assert ours.but(values=theirs.values, values_layout=theirs.values_layout) == theirs


def test_nothing_was_left_unmeasured(model):
    unmeasured = {row.name for row in measure(model).rows if row.passed is None}
    assert unmeasured == ({"sdpa"} if model.module.config.model_type in ("gemma2", "gpt_oss") else set())


def test_a_pattern_is_what_its_scores_say(model):
    """Rows sum to one, but for what a head's sink takes."""
    run = model.run(IDS, capture=["attn.scores.1", "attn.pattern.1"])
    sinks = model.anatomy.layers[1].sinks
    pattern = run["attn.pattern.1"]
    torch.testing.assert_close(pattern, pattern_of(run["attn.scores.1"], sinks), rtol=0, atol=0)
    taken = 1 - pattern.sum(-1)
    assert (taken > 1e-6).all() if sinks is not None else taken.abs().max() < 1e-6


@pytest.mark.parametrize("check", BATTERY.checks, ids=lambda check: check.name)
def test_a_network_of_the_family_keeps_what_families_promise(model, check):
    assert check.failure(model) == ""
