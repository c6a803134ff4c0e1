"""A failed row of the certificate is seen by whatever relies on it; what fails inside a row is its verdict."""

import pytest
import torch
from torch import nn
from transformers import RecurrentGemmaConfig, RecurrentGemmaForCausalLM, RwkvConfig, RwkvForCausalLM

import microtome as mt
from microtome.activations.rows import widths_of
from microtome.circuit.patching.patching import patch
from microtome.circuit.patching.rows import Pair
from microtome.core.errors import CheckFailed, NotSupported
from microtome.model.certificate import ATTRIBUTION, BATCHES, CACHE, WATCHING, Certificate, Check
from microtome.model.measuring import measure
from microtome.model.model import Model
from microtome.model.opening import anatomy_of
from microtome.model.upcast import in_float32
from tiny_llama import tiny_llama, tiny_tokenizer
from tiny_models import FAMILIES, tiny_model

IDS = [5, 11, 3, 17, 8]


class LowRank(nn.Module):
    """A projection put in the place of another, as PEFT does it: its `weight` is the base's, its function is not."""

    def __init__(self, base: nn.Module, size: float = 0.5):
        super().__init__()
        self.base_layer = base
        rows, columns = base.weight.shape
        self.down = nn.Parameter(torch.full((2, columns), size, dtype=base.weight.dtype))
        self.up = nn.Parameter(torch.full((rows, 2), size, dtype=base.weight.dtype))
        self.requires_grad_(False)

    @property
    def weight(self) -> nn.Parameter:
        return self.base_layer.weight

    @property
    def bias(self) -> nn.Parameter | None:
        return self.base_layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base_layer(x) + x @ self.down.T @ self.up.T


def adapted(path: str = "self_attn.o_proj", size: float = 0.5) -> Model:
    model = tiny_model("llama")
    layer = model.module.get_submodule("model.layers.1")
    layer.set_submodule(path, LowRank(layer.get_submodule(path), size))
    return Model(model.module, None, anatomy_of(model.module), name="adapted", fingerprint="0" * 16)


ACTS = {
    "trace": lambda model: mt.trace(model, IDS, [5, 9, 3, 17, 8], target=7, against=4),
    "direct attribution": lambda model: model.direct_attribution(IDS, 7, 4),
    "float32": in_float32,
}


@pytest.mark.parametrize("path", ["self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.down_proj"])
@pytest.mark.parametrize("act", ACTS)
def test_a_projection_that_is_not_its_weight_is_refused_with_the_remedy(path, act):
    model = adapted(path)
    with pytest.raises(NotSupported) as refused:
        ACTS[act](model)
    assert refused.value.found == f"projections that compute something else than their weight: model.layers.1.{path}"
    assert refused.value.do == (
        "merge what is added into the weights and open the model that comes out: with PEFT, `model.merge_and_unload()`"
    )
    model.run(IDS, capture=["resid.1"])  # what runs is what runs


def test_the_certificate_says_which_projections_these_are():
    row = next(row for row in measure(adapted()).failed if row.name == "projections")
    assert row.value == 1
    assert row.says.startswith(
        "projections that compute something else than their weight: model.layers.1.self_attn.o_proj; merge"
    )


def test_an_adapter_that_adds_nothing_is_its_weight():
    assert measure(adapted(size=0.0)).passed


@pytest.mark.parametrize("family", FAMILIES)
def test_every_familys_projections_are_their_weights(family):
    assert in_float32(tiny_model(family)) is not None


def test_a_hook_that_changes_a_projection_is_seen():
    model = tiny_model("gpt2")
    handle = model.module.get_submodule("transformer.h.0.mlp.c_proj").register_forward_hook(lambda *given: given[2] * 2)
    with pytest.raises(NotSupported, match=r"transformer\.h\.0\.mlp\.c_proj"):
        in_float32(model)
    handle.remove()
    in_float32(model)


def failing(model: Model, name: str) -> Model:
    row = Check(name, 0.5, 1e-4, False, "what it means")
    model.certificate = Certificate((row,), {"name": model.name, "fingerprint": "", "dtype": "float64"})
    return model


@pytest.mark.parametrize(
    ("rows", "act"),
    [
        (ATTRIBUTION, ACTS["trace"]),
        (ATTRIBUTION, ACTS["direct attribution"]),
        (BATCHES, lambda model: model.run([IDS, IDS[:3]])),
        (CACHE, lambda model: mt.Model.generate(model, IDS)),
        (WATCHING, lambda model: widths_of(model, ["resid.1"])),
    ],
    ids=["trace", "direct attribution", "a batch", "generation", "harvest"],
)
def test_what_relies_on_a_row_that_failed_refuses(rows, act):
    for name in rows:
        with pytest.raises(CheckFailed, match=f"checks of the certificate that failed: {name}: 5.0e-01"):
            act(failing(tiny_model("llama"), name))


def test_proofs_and_patching_rely_on_the_same_rows():
    model = tiny_model("llama")
    graph = mt.trace(model, IDS, [5, 9, 3, 17, 8], target=7, against=4, max_nodes=20)
    failing(model, "frozen branches")
    pairs = [Pair(tuple(IDS), (5, 9, 3, 17, 8), (7,), (4,))]
    for act in (lambda: mt.prove(model, graph), lambda: patch(model, pairs, "activation")):
        with pytest.raises(CheckFailed, match="frozen branches"):
            act()


def test_a_row_that_does_not_matter_stops_nothing():
    model = failing(tiny_model("llama"), "sdpa")
    model.run([IDS, IDS[:3]])
    model.direct_attribution(IDS, 7, 4)


def test_the_rows_that_are_relied_on_are_measured():
    names = {row.name for row in measure(tiny_model("llama")).rows}
    assert names >= ATTRIBUTION | BATCHES | CACHE


def test_what_fails_inside_a_row_is_its_verdict(monkeypatch):
    model = tiny_model("llama")
    monkeypatch.setattr("microtome.model.live_checks.sides", lambda *_: [][0])
    row = next(row for row in measure(model).rows if row.name == "padding side")
    assert (row.passed, row.says) == (False, "could not be measured: IndexError: list index out of range")
    with pytest.raises(CheckFailed, match="padding side: could not be measured: IndexError"):
        measure(model).require()


def opened(module: nn.Module) -> Model:
    return mt.open((module.eval(), tiny_tokenizer()))


def test_a_network_that_keeps_its_state_to_itself_opens_and_generates():
    torch.manual_seed(0)
    model = opened(
        RecurrentGemmaForCausalLM(
            RecurrentGemmaConfig(
                vocab_size=260, hidden_size=16, intermediate_size=32, num_hidden_layers=3, num_attention_heads=2,
                lru_width=16, attention_window_size=8,
            )
        )
    )  # fmt: skip
    row = next(row for row in model.certificate.rows if row.name == "cached steps")
    assert row.passed is None
    assert row.says == "keeps its state to itself, so that no cache comes back to be given on"


def test_rows_are_not_padded_where_padding_is_read():
    torch.manual_seed(0)
    model = opened(RwkvForCausalLM(RwkvConfig(vocab_size=260, context_length=32, hidden_size=16, num_hidden_layers=2)))
    failed = {row.name for row in model.certificate.failed}
    assert failed & BATCHES
    model.run([IDS, IDS])
    with pytest.raises(CheckFailed, match="run rows of different length"):
        model.run([IDS, IDS[:3]])


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor")
def test_weights_that_torch_has_quantised_are_refused():
    module = torch.ao.quantization.quantize_dynamic(tiny_llama(), {nn.Linear}, dtype=torch.qint8)
    with pytest.raises(NotSupported) as refused:
        mt.open((module, tiny_tokenizer()))
    assert str(refused.value) == (
        "open a module from memory\n"
        "  found: its weights are quantised (model.layers.0.self_attn.q_proj is a Linear)\n"
        "  do:    give the unquantised model"
    )
