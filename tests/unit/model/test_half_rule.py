"""A gated MLP worked by hand: each of its two factors carries half of what a unit is, in every layout of the weights.

One token whose stream is all ones, through a norm that leaves it so. Unit 0 has gate 2 (twice coordinate 0) and up 3
(three times coordinate 1):

    silu(2) = 2 / (1 + e⁻²) = 1.761594      a = 3 · 1.761594 = 5.284782      r = silu(2) / 2 = 0.880797
    c_gate = r · 3 / 2 = 1.321195           c_up = r · 2 / 2 = 0.880797
    read vector: 2 · 1.321195 at coordinate 0, 3 · 0.880797 at coordinate 1: 2.642391 each, which is a / 2
"""

import pytest
import torch

from microtome.model.frozen import freeze
from microtome.model.model import Model
from microtome.model.opening import anatomy_of
from tiny_models import tiny_module

IDS = [5, 5, 5]


def by_hand(family: str) -> Model:
    """The first layer's attention writes nothing, its MLP's only unit reads the first two coordinates."""
    module = tiny_module(family, rms_norm_eps=1e-12)
    state = module.state_dict()
    with torch.no_grad():
        module.get_input_embeddings().weight.fill_(1.0)
        for name, one in state.items():
            if "layers.0." in name:
                one.fill_(1.0 if "norm" in name else 0.0)
        if family == "phi3":
            n_units = module.config.intermediate_size
            fused = state["model.layers.0.mlp.gate_up_proj.weight"]
            fused[0, 0], fused[n_units, 1] = 2.0, 3.0
        elif family == "mixtral":  # a router of zeros: the first two of three experts, half of each
            both = state["model.layers.0.mlp.experts.gate_up_proj"]
            both[0, 0, 0], both[0, both.shape[1] // 2, 1] = 2.0, 3.0
        else:
            state["model.layers.0.mlp.gate_proj.weight"][0, 0] = 2.0
            state["model.layers.0.mlp.up_proj.weight"][0, 1] = 3.0
    return Model(module, None, anatomy_of(module), name=family, fingerprint="0" * 16)


@pytest.mark.parametrize(("family", "share"), [("llama", 1.0), ("phi3", 1.0), ("mixtral", 0.5)])
def test_both_factors_carry_half(family, share):
    layer = freeze(by_hand(family), IDS).layers[0]
    for position in range(len(IDS)):
        assert float(layer.neurons[position, 0]) == pytest.approx(share * 5.284782, abs=2e-5)
        assert float(layer.gates.c_gate[position, 0]) == pytest.approx(share * 1.321195, abs=1e-5)
        assert float(layer.gates.c_up[position, 0]) == pytest.approx(share * 0.880797, abs=1e-5)
    read = layer.reads(torch.tensor([1]), torch.tensor([0]))[0]
    assert read[:2].tolist() == pytest.approx([share * 2.642391] * 2, abs=1e-5)
    assert not read[2:].any()


def test_where_the_gate_is_shut_only_the_gate_is_read():
    """silu(0) = 0 with slope 1/2: r = 0.5, so c_gate = 0.5 · 3 / 2 = 0.75, and c_up = 0."""
    model = by_hand("llama")
    with torch.no_grad():
        model.module.get_parameter("model.layers.0.mlp.gate_proj.weight").zero_()
    layer = freeze(model, IDS).layers[0]
    assert float(layer.gates.c_gate[0, 0]) == pytest.approx(0.75, abs=1e-5)
    assert float(layer.gates.c_up[0, 0]) == 0.0
