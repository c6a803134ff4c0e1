"""Layouts whose tools are not installed here, held to the tools' formulas written out densely."""

import json
import shutil

import pytest
import torch
from foreign_layouts import IN, LAYOUTS, Layout, crosscoder, llama_scope, llamascopium, qwen_scope
from safetensors.torch import load_file, save_file

from microtome.core.errors import FormatError, MicrotomeError, NotSupported, WrongUse
from microtome.dictionary.exchange import load_dictionary


def load(layout: Layout):
    return load_dictionary(layout.path, **layout.sites)


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path) -> Layout:
    return LAYOUTS[request.param](tmp_path)


def test_codes_and_outputs_are_those_of_the_formulas(layout):
    found = load(layout)
    codes, y = layout.made(layout.x)
    assert 0 < (codes != 0).double().mean() < 1
    positive = codes.clamp(min=0)
    torch.testing.assert_close(found.encode(layout.x).dense(), positive, rtol=1e-5, atol=1e-5)
    if torch.equal(positive, codes):
        torch.testing.assert_close(found.reconstruct(layout.x), y, rtol=1e-5, atol=1e-5)


def test_sites_are_those_that_the_files_name(tmp_path):
    for number, (make, reads, writes) in enumerate([
        (llama_scope, "resid.4", "resid.4"),
        (qwen_scope, "resid.4", "resid.4"),
        (LAYOUTS["llamascopium transcoder"], "resid.4", "mlp.out.3"),
    ]):  # fmt: skip
        (tmp_path / str(number)).mkdir()
        found = load(make(tmp_path / str(number)))
        assert (found.reads, found.writes) == ((reads,), (writes,))
    with pytest.raises(WrongUse, match="say which site it is"):
        load_dictionary(crosscoder(tmp_path).path)
    with pytest.raises(WrongUse, match="leave `writes` out"):
        load_dictionary(tmp_path / "crosscoder", reads=("resid.1", "resid.2"), writes=("resid.1", "resid.3"))


def test_a_file_is_read_as_its_folder_is(tmp_path):
    made = crosscoder(tmp_path)
    other = tmp_path / "model_final.pt"
    shutil.copy(made.weights, other)
    assert torch.equal(load_dictionary(other, **made.sites).b_dec, load(made).b_dec)
    scope = qwen_scope(tmp_path)
    assert torch.equal(load_dictionary(scope.path.parent).b_dec, load(scope).b_dec)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_weights_that_were_cut_short(layout, share):
    held = layout.weights.read_bytes()
    layout.weights.write_bytes(held[: int(share * len(held))])
    with pytest.raises(FormatError):
        load(layout)


def test_settings_that_are_none(layout):
    if layout.settings is None:
        return
    layout.settings.write_text('{"a": ')
    with pytest.raises(FormatError, match="read the settings"):
        load(layout)


def test_any_setting_may_be_lacking_or_wrong(layout):
    """It is read or refused in our words; nothing else is raised."""
    if layout.settings is None:
        return
    says = json.loads(layout.settings.read_text())
    for name in says:
        for wrong in (None, -1, "x", [], 1e12):
            layout.settings.write_text(json.dumps({**says, name: wrong}))
            try:
                load(layout)
            except MicrotomeError:
                continue


@pytest.mark.parametrize(
    "change, found",
    [
        ({"sae_type": "lorsa"}, "a dictionary of the type 'lorsa'"),
        ({"use_glu_encoder": True}, "units that are read through a gate of their own"),
        ({"act_fn": "batchtopk"}, r"units chosen batch by batch \(batchtopk\)"),
        ({"norm_activation": "batch-wise"}, "inputs normalised batch-wise"),
        ({"norm_activation": "token-wise", "hook_point_out": "blocks.3.hook_mlp_out"}, "tokens normalised each by its"),
    ],
)
def test_what_llamascopium_has_more_is_refused(change, found, tmp_path):
    made = llamascopium(tmp_path)
    assert made.settings is not None
    made.settings.write_text(json.dumps({**json.loads(made.settings.read_text()), **change}))
    with pytest.raises(NotSupported, match=f"found: {found}"):
        load(made)


def test_older_names_of_llamascopium_are_known(tmp_path):
    made = llamascopium(tmp_path)
    held = load_file(made.weights)
    older = {
        "encoder.weight": held["W_E"].T.contiguous(), "encoder.bias": held["b_E"],
        "decoder.weight": held["W_D"].T.contiguous(), "decoder.bias": held["b_D"],
        "log_jumprelu_threshold": held["activation_function.log_jumprelu_threshold"],
        f"dataset_average_activation_norm.{IN}": held[f"dataset_average_activation_norm.{IN}"],
    }  # fmt: skip
    before = load(made)
    save_file(older, made.weights)
    assert torch.equal(load(made).encode(made.x).dense(), before.encode(made.x).dense())


def test_crosscoders_that_choose_otherwise_are_refused(tmp_path):
    made = crosscoder(tmp_path)
    held = torch.load(made.weights)
    for change, found in (
        ({"code_normalization_id": torch.tensor(5)}, "active site by site"),
        ({"threshold": torch.tensor(-1.0)}, "chosen batch by batch"),
        ({"decoder.weight": held["decoder.weight"][:1]}, "2 sites read and 1 written"),
    ):
        torch.save({**held, **change}, made.weights)
        with pytest.raises(NotSupported, match=found):
            load(made)


def test_qwen_scope_needs_the_name_of_its_release(tmp_path):
    made = qwen_scope(tmp_path)
    other = tmp_path / "elsewhere"
    other.mkdir()
    shutil.copy(made.path, other / "layer3.sae.pt")
    with pytest.raises(FormatError, match="put the file into a folder that is named as the release is"):
        load_dictionary(other / "layer3.sae.pt")
    shutil.copy(made.path, made.path.parent / "layer4.sae.pt")
    with pytest.raises(FormatError, match=r"2 dictionaries: layer3\.sae\.pt, layer4\.sae\.pt"):
        load_dictionary(made.path.parent)
    card = load(made).card
    assert card is not None
    assert card.model == {"name": "Qwen/Qwen3-8B-Base"}


def test_a_layout_that_nobody_knows_says_what_it_holds(tmp_path):
    torch.save(
        {"encoder_linear.weight": torch.ones(3, 2), "decoder_linear.weight": torch.ones(2, 3)}, tmp_path / "x.pt"
    )
    with pytest.raises(FormatError) as said:
        load_dictionary(tmp_path / "x.pt")
    assert said.value.found == (
        "the files of no format: x.pt with the tensors decoder_linear.weight [2, 3], encoder_linear.weight [3, 2]"
    )
    assert said.value.do == (
        "name the folder that holds its weights and settings; `microtome list format` shows what is known"
    )
