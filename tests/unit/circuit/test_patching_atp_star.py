"""AtP*: exact where a network is linear in its patterns; GradDrop against edges that are its terms."""

import pytest
from patching_cases import random_pairs
from torch import nn

from microtome.circuit.patching.patching import case_of, patch
from microtome.model import edits
from microtome.model.model import Model
from microtome.model.opening import anatomy_of
from tiny_models import tiny_model


def linear_above_the_pattern(sharpness: float = 1.0) -> Model:
    """One layer of GPT-2 whose logits are linear in its pattern, with sharp attention."""
    model = tiny_model("gpt2", num_hidden_layers=1, activation_function="linear")
    block = model.module.transformer.h[0]
    block.attn.c_attn.weight.data[:, :48] *= sharpness
    block.ln_2 = nn.Identity()
    model.module.transformer.ln_f = nn.Identity()
    return Model(model.module, None, anatomy_of(model.module), name="linear above", fingerprint="0" * 16)


def test_the_qk_fix_is_exact_where_all_above_the_pattern_is_linear():
    model = linear_above_the_pattern(sharpness=4)
    pairs = random_pairs(model, first=4)
    fixed = patch(model, pairs, "atp-star", kinds=("q", "k"), grad_drop=False).nodes
    plain = patch(model, pairs, "atp", kinds=("q", "k")).nodes
    exact = patch(model, pairs, "activation", kinds=("q",)).nodes
    assert max(abs(fixed[name] - exact[name]) for name in exact) < 1e-9
    assert max(abs(plain[name] - exact[name]) for name in exact) > 1e-3
    case, _ = case_of(model, pairs, "logit difference", 8)
    (bench,) = case.benches()
    there = model.run(bench.rows.other, ["attn.k.0"])["attn.k.0"]
    one_by_one = sum(
        (case.measure(bench.rows)
         - case.measure(bench.rows, [edits.set("attn.k.0", there[:, [j]], positions=j, units=1, may_be_empty=True)]))
        for j in range(there.shape[1])
    )  # fmt: skip
    assert fixed["head.0.1.k"] == pytest.approx(float(one_by_one.mean()), abs=1e-9)


def test_dropped_gradients_are_the_paths_that_are_left():
    """Two layers: without the second, the first reaches the logits directly; without the first, all is as it was."""
    model = tiny_model("phi", num_hidden_layers=2)
    pairs = random_pairs(model, n=1, first=4)
    sizes = patch(model, pairs, "atp-star", kinds=("head", "mlp")).nodes
    edges, nodes = patch(model, pairs, "eap").edges, patch(model, pairs, "atp").nodes
    for name in ("mlp.0", "head.0.2"):
        assert abs(sizes[name]) == pytest.approx(abs(edges[name, "logits"]), rel=1e-9)
    for name in ("mlp.1", "head.1.0"):
        assert abs(sizes[name]) == pytest.approx(abs(nodes[name]), rel=1e-9)
    assert all((sizes[name] < 0) == (nodes[name] < 0) for name in sizes)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "phi", "qwen3_moe"])
def test_the_fix_touches_queries_and_keys_alone(family):
    model = tiny_model(family)
    pairs = random_pairs(model, n=2)
    fixed = patch(model, pairs, "atp-star", grad_drop=False).nodes
    plain = patch(model, pairs, "atp", kinds=("embed", "head", "mlp", "q", "k", "v")).nodes
    assert fixed.keys() == plain.keys()
    same = [name for name in plain if not name.endswith((".q", ".k"))]
    assert all(fixed[name] == plain[name] for name in same)
    assert any(abs(fixed[name] - plain[name]) > 1e-6 for name in plain)
