"""Which family a module is of: by its `model_type`, by its class, or by an ancestor of it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from microtome.model.anatomy import Anatomy
from microtome.model.attention import register
from microtome.model.family import FAMILIES
from microtome.model.measuring import measure
from microtome.model.model import Model
from microtome.model.opening import family_name, network_of
from tiny_models import BIASES, COMMON, ODD_HEADS, tiny_module, unknown_module


class ForeignConfig(LlamaConfig):
    model_type = "foreign_llama"


class Derived(LlamaForCausalLM):
    """Somebody's own Llama."""


class Scaled(LlamaForCausalLM):
    """One that is no Llama any more: its logits are twice what they were."""

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * 2
        return output


def of_class(kind: type[LlamaForCausalLM]) -> LlamaForCausalLM:
    plain = tiny_module("llama")
    config = ForeignConfig(**{name: one for name, one in plain.config.to_dict().items() if name != "model_type"})
    module = kind._from_config(config, attn_implementation=plain.config._attn_implementation)
    module = module.to(torch.float64).eval().requires_grad_(False)
    module.load_state_dict(plain.state_dict())
    return module


def opened(module: LlamaForCausalLM) -> Model:
    return Model(module, None, network_of(module), name="foreign", fingerprint="")


def test_a_foreign_model_type_of_a_known_class_or_one_derived_from_it():
    for kind in (LlamaForCausalLM, Derived):
        module = of_class(kind)
        assert module.config.model_type == "foreign_llama"
        assert family_name(module) == "llama"
        network = network_of(module)
        assert isinstance(network, Anatomy)
        assert network.family == FAMILIES.get("llama")
        assert measure(opened(module)).failed == ()


@pytest.mark.parametrize(
    "kind, biases", [("internlm3", {"bias": True, "qkv_bias": True}), ("exaone", BIASES), ("iquestcoder", BIASES)]
)
def test_kinds_that_transformers_opens_as_another_class(kind, biases):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**COMMON, **ODD_HEADS, **biases})
    module = AutoModelForCausalLM.from_config(config, attn_implementation=register())
    assert family_name(module) == "llama"
    assert measure(opened(module.to(torch.float64).eval().requires_grad_(False))).failed == ()


def test_the_certificate_tells_a_derived_class_that_computes_something_else():
    assert {"frozen pass"} <= {row.name for row in measure(opened(of_class(Scaled))).failed}


def test_what_is_of_no_family_keeps_its_own_name():
    module = unknown_module("opt")
    assert family_name(module) == "opt"
    assert not isinstance(network_of(module), Anatomy)
