"""What every family must hold to, on a small random network of each, in float64, with odd sizes and settings."""

import pytest

from microtome.bench.checks.families import BATTERY
from microtome.model.family import FAMILIES as REGISTERED
from microtome.model.measuring import measure
from tiny_models import FAMILIES, tiny_model

VARIANTS = {
    **{family: (family, {}) for family in FAMILIES},
    "gpt_neox, sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "llama, no biases, gelu": ("llama", {"attention_bias": False, "mlp_bias": False, "hidden_act": "gelu"}),
    "gpt2, relu": ("gpt2", {"activation_function": "relu"}),
}


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    family, changes = VARIANTS[request.param]
    return tiny_model(family, **changes)


def test_every_family_has_its_line_in_the_table():
    assert {entry.name for entry in REGISTERED} - set(FAMILIES) == {"gemma3"}, "the wrapper of gemma3_text"


def test_nothing_was_left_unmeasured(model):
    unmeasured = {row.name for row in measure(model).rows if row.passed is None}
    assert unmeasured == ({"sdpa"} if model.module.config.model_type == "gemma2" else set())


@pytest.mark.parametrize("check", BATTERY.checks, ids=lambda check: check.name)
def test_a_network_of_the_family_keeps_what_families_promise(model, check):
    assert check.failure(model) == ""
