"""16-bit models: traced on a float32 copy, themselves left as they are, and the certificate says so."""

import pytest
import torch

from microtome.circuit.trace import trace
from microtome.model.measuring import measure
from microtome.model.upcast import in_float32
from tiny_models import tiny_model

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]


def test_a_16_bit_model_is_traced_on_a_float32_copy():
    model = tiny_model("llama", torch.bfloat16)
    before = model.module.get_parameter("model.layers.0.mlp.down_proj.weight").clone()
    graph = trace(model, CLEAN, OTHER, target=5, against=6, max_nodes=40)
    assert graph.summary_numbers["largest_imbalance"] < 1e-5
    after = model.module.get_parameter("model.layers.0.mlp.down_proj.weight")
    assert after.dtype == torch.bfloat16
    assert torch.equal(before, after)
    wide = in_float32(model)
    logits = wide.run(CLEAN, ["logits"])["logits"][0, -1]
    assert logits.dtype == torch.float32
    assert graph.value == pytest.approx(float(logits[5] - logits[6]), abs=1e-5)


def test_one_copy_serves_until_the_weights_change():
    model = tiny_model("llama", torch.bfloat16)
    wide = in_float32(model)
    assert in_float32(model) is wide
    with torch.no_grad():
        model.module.get_parameter("lm_head.weight").mul_(2)
    other = in_float32(model)
    assert other is not wide
    assert not torch.equal(other.run(CLEAN, ["logits"])["logits"], wide.run(CLEAN, ["logits"])["logits"])


def test_wide_models_are_not_copied():
    model = tiny_model("llama", torch.float32)
    assert in_float32(model) is model


def test_the_certificate_says_what_was_measured_on_a_copy():
    rows = measure(tiny_model("llama", torch.bfloat16)).rows
    told = [row for row in rows if "float32" in row.says]
    assert {"frozen pass", "completeness of a logit difference"} <= {row.name for row in told}
    assert all(row.passed for row in rows)
