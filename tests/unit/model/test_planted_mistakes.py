"""Nine mistakes that are easily made in a new family, each planted: the certificate must catch every one."""

import math
from dataclasses import replace
from functools import cached_property

import pytest
from torch import Tensor

from microtome.model import anatomy as anatomy_module
from microtome.model.anatomy import Anatomy, Layer
from microtome.model.family import FAMILIES, Family, parallel, plain
from microtome.model.frozen import FrozenLayer
from microtome.model.frozen_attention import FrozenAttention
from microtome.model.measuring import measure
from microtome.model.model import Model
from tiny_models import tiny_model, tiny_module


def failures(model: Model) -> set[str]:
    return {row.name for row in measure(model).failed}


def misread(family: str, **changes) -> Model:
    """A model opened by a row of the table with a mistake in it."""
    module = tiny_module(family)
    row: Family = FAMILIES.get(family).but(**changes)
    return Model(module, None, Anatomy(module, row), name=family, fingerprint="")


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma2", "phi3", "qwen2"])
def test_without_a_mistake_nothing_fails(family):
    assert failures(tiny_model(family)) == set()


def test_one_unit_that_is_not_a_number_among_others_that_are(monkeypatch):
    reads, seen = FrozenLayer.reads, []

    def once_undefined(layer: FrozenLayer, positions: Tensor, units: Tensor) -> Tensor:
        seen.append(units)
        return reads(layer, positions, units) * (math.nan if len(seen) == 2 else 1)

    monkeypatch.setattr(FrozenLayer, "reads", once_undefined)
    assert "completeness of a hidden unit" in failures(tiny_model("llama"))


def test_rows_of_each_head_in_turn_read_as_blocks():
    assert {"completeness of a hidden unit", "matrix products"} <= failures(misread("gpt_neox", values_layout="blocks"))


def test_a_forgotten_transpose_of_a_square_matrix(monkeypatch):
    def untransposed(layer: Layer):
        rows = layer.heads_out.get_parameter("weight").detach()
        return rows.reshape(layer.sizes.d, layer.sizes.h, layer.sizes.c)

    monkeypatch.setattr(Layer, "w_o", property(untransposed))
    assert {"completeness of a hidden unit", "matrix products"} <= failures(tiny_model("gpt2"))


def test_a_norm_weight_without_its_one(monkeypatch):
    measured = anatomy_module.measured
    monkeypatch.setattr(anatomy_module, "measured", lambda module: replace(measured(module), plus_one=False))
    assert {"frozen pass", "completeness of a hidden unit"} <= failures(tiny_model("gemma2"))


@pytest.mark.parametrize("family", ["gemma2", "olmo2"])
@pytest.mark.parametrize("norm", ["attn_post_norm", "mlp_post_norm"])
def test_a_dropped_norm_after_a_branch(family, norm):
    assert {"stream sum", "completeness of a logit difference"} <= failures(misread(family, **{norm: None}))


def test_no_centring_at_the_read(monkeypatch):
    """Leaves logit differences alone, so it takes a check of the reads to see it."""

    def uncentred(layer: Layer):
        norm = layer._norm(layer.family.mlp_norm)
        return None if norm is None else replace(norm, centred=False)

    norm = cached_property(uncentred)
    norm.__set_name__(Layer, "mlp_norm")
    monkeypatch.setattr(Layer, "mlp_norm", norm)
    assert {"frozen pass", "completeness of a pre-gate read"} <= failures(tiny_model("gpt2"))


def test_key_value_heads_tiled_going_down(monkeypatch):
    pull = FrozenAttention.pull

    def tiled(layer: FrozenAttention, g: Tensor, start: int = 0) -> Tensor:
        size = layer.layer.sizes
        order = [head for group in range(size.g) for head in range(group, size.h, size.g)]
        outputs, pattern = layer.outputs[order], layer.weighted_pattern[order]
        with monkeypatch.context() as planted:
            planted.setattr(FrozenAttention, "outputs", property(lambda _: outputs))
            planted.setattr(FrozenAttention, "weighted_pattern", property(lambda _: pattern))
            return pull(layer, g, start)

    monkeypatch.setattr(FrozenAttention, "pull", tiled)
    assert {"matrix products", "completeness of a hidden unit"} <= failures(tiny_model("llama"))


def test_key_value_heads_tiled_going_up(monkeypatch):
    def tiled(layer: Layer):
        size = layer.sizes
        # Output weights in tiled order: the same as tiling the values.
        order = [g * (size.h // size.g) + r for r in range(size.h // size.g) for g in range(size.g)]
        return w_o.fget(layer)[:, order]

    w_o = Layer.w_o
    monkeypatch.setattr(Layer, "w_o", property(tiled))
    assert "frozen branches" in failures(tiny_model("llama"))


@pytest.mark.parametrize("family, settings", [("gpt_neox", plain), ("phi", plain), ("llama", parallel)])
def test_branches_in_sequence_taken_for_parallel_ones_or_the_reverse(family, settings):
    assert {"frozen pass", "completeness of a hidden unit"} <= failures(misread(family, settings=settings))


@pytest.mark.parametrize("family, forgotten", [("granite", "branch_scale"), ("granite", "logit_scale")])
def test_a_forgotten_constant(family, forgotten):
    def settings(config):
        return replace(FAMILIES.get(family).settings(config), **{forgotten: 1.0})

    found = {"branch_scale": {"stream sum", "frozen pass"}, "logit_scale": {"frozen pass"}}[forgotten]
    assert found <= failures(misread(family, settings=settings))


@pytest.mark.parametrize("family", ["phi3", "mixtral"])
def test_swapped_halves_of_gate_and_up(monkeypatch, family):
    rows = Layer._gate_rows
    monkeypatch.setattr(Layer, "_gate_rows", lambda layer, *, first: rows(layer, first=not first))
    assert {"frozen pass", "completeness of a hidden unit"} <= failures(tiny_model(family))


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "llama"])
def test_a_forgotten_value_bias(monkeypatch, family):
    """Leaves every gradient alone, so it takes a sum over constants to see it."""
    monkeypatch.setattr(Layer, "b_v", property(lambda layer: None))
    assert {"frozen branches", "completeness of a hidden unit"} <= failures(tiny_model(family))
