"""Files of strangers: damaged, cut short, mislabelled or made to harm. Each gets one clear error, and runs nothing."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import exchanged
from microtome.core.errors import FormatError, MicrotomeError, MissingFile, NotSupported
from microtome.dictionary.exchange import load_dictionary

VECTORS = Path(__file__).parent / "peer_vectors"
# One of every layout: its folder, the file of its weights, the file of its settings.
LAYOUTS = {
    "saelens": ("saelens/gated", "sae_weights.safetensors", "cfg.json"),
    "dictionary-learning": ("dictionary_learning/matryoshka", "ae.pt", "config.json"),
    "sparsify": ("sparsify/layers.4.mlp", "sae.safetensors", "cfg.json"),
    "gemma-scope 1": ("circuit_tracer/gemma_1", "params.npz", None),
    "gemma-scope 2": ("circuit_tracer/gemma_2_clt", "params_layer_1.safetensors", None),
    "circuit-tracer set": ("circuit_tracer/set_jump", "layer_1.safetensors", "config.yaml"),
    "circuit-tracer CLT": ("circuit_tracer/clt_jump", "W_dec_1.safetensors", "config.yaml"),
    "openai": ("openai/topk.pt", "topk.pt", None),
}
FOLDERS = [layout for layout in LAYOUTS if layout != "openai"]
RANDOM = settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))


def copied(layout: str, to: Path) -> Path:
    """A copy of a layout's folder, under its own name, which says where it stands."""
    source = VECTORS / LAYOUTS[layout][0]
    to = to / source.name
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True)
    else:
        shutil.copy(source, to)
    return to


def weights(layout: str, copy: Path) -> Path:
    return copy if copy.is_file() else copy / LAYOUTS[layout][1]


def load(layout: str, copy: Path):
    sites = {"openai": {"reads": "resid.0"}}
    if layout.startswith("gemma"):
        layer = "*" if layout == "gemma-scope 2" else "3"
        return load_dictionary(copy, reads=f"mlp.in.{layer}", writes=f"mlp.out.{layer}")
    return load_dictionary(copy, **sites.get(layout, {}))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_weights_that_were_cut_short(layout, share, tmp_path):
    copy = copied(layout, tmp_path)
    file = weights(layout, copy)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(FormatError) as said:
        load(layout, copy)
    assert str(file.name) in str(said.value) or "no format" in str(said.value)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_weights_of_another_kind_than_their_name(layout, tmp_path):
    copy = copied(layout, tmp_path)
    weights(layout, copy).write_text("<html>404 not found</html>")
    with pytest.raises(FormatError, match=r"404|read the weights|no format"):
        load(layout, copy)


@pytest.mark.parametrize("layout", FOLDERS)
def test_weights_that_are_gone(layout, tmp_path):
    copy = copied(layout, tmp_path)
    weights(layout, copy).unlink()
    with pytest.raises(FormatError):
        load(layout, copy)


@RANDOM
@given(layout=st.sampled_from(list(LAYOUTS)), at=st.floats(0, 0.9999), byte=st.integers(0, 255), n=st.integers(1, 64))
def test_damaged_bytes_are_an_error_or_harmless(layout, at, byte, n, tmp_path_factory):
    copy = copied(layout, tmp_path_factory.mktemp("damaged"))
    file = weights(layout, copy)
    held = bytearray(file.read_bytes())
    start = int(at * len(held))
    held[start : start + n] = bytes([byte]) * len(held[start : start + n])
    file.write_bytes(bytes(held))
    check(layout, copy)


def check(layout: str, copy: Path) -> None:
    """It loads and can be used, or one of our errors is raised; never another. A wrong number is still a number."""
    try:
        found = load(layout, copy)
    except MicrotomeError:
        return
    assert found.reconstruct(exchanged.inputs(found)).shape[-1] == found.geometry.d_out


WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.just(10**12), st.floats(), st.text(max_size=5),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=3), st.integers(), max_size=1),
)  # fmt: skip


@RANDOM
@given(layout=st.sampled_from([one for one in LAYOUTS if LAYOUTS[one][2]]), data=st.data())
def test_settings_with_any_value_are_an_error_or_harmless(layout, data, tmp_path_factory):
    copy = copied(layout, tmp_path_factory.mktemp("mislabelled"))
    file = copy / str(LAYOUTS[layout][2])
    if file.suffix == ".yaml":
        lines = dict(line.split(": ") for line in file.read_text().splitlines())
        name = data.draw(st.sampled_from(sorted(lines)))
        file.write_text("".join(f"{k}: {v}\n" for k, v in {**lines, name: repr(data.draw(WRONG))}.items()))
    else:
        says = json.loads(file.read_text())
        inside = says.get("trainer", says)
        inside[data.draw(st.sampled_from(sorted(inside)))] = data.draw(WRONG)
        file.write_text(json.dumps(says))
    check(layout, copy)


@pytest.mark.parametrize(
    "text", ["", "[", "[1]", "null", '{"a": ', "\x00\xff", "[" * 3_000, "!!python/object/apply:os.system ['true']"]
)
@pytest.mark.parametrize("layout", [one for one in LAYOUTS if LAYOUTS[one][2]])
def test_settings_that_are_none(layout, text, tmp_path):
    copy = copied(layout, tmp_path)
    (copy / str(LAYOUTS[layout][2])).write_text(text, encoding="latin-1")
    with pytest.raises(FormatError, match="read the settings"):
        load(layout, copy)


class Harm:
    """What an attacker would pickle."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("layout", ["openai", "dictionary-learning", "gemma-scope 1"])
@pytest.mark.parametrize("how", ["torch", "torch, as it was", "pickle", "numpy"])
def test_code_in_a_file_is_never_run(layout, how, tmp_path):
    copy, harm = copied(layout, tmp_path), Harm(tmp_path / "harmed")
    file = weights(layout, copy)
    with file.open("wb") as out:
        if how == "pickle":
            pickle.dump({"encoder.weight": harm}, out)
        elif how == "numpy":
            np.savez(out, W_enc=np.array([harm], dtype=object), w_dec=np.zeros(3))
        else:
            torch.save({"encoder.weight": harm}, out, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(FormatError, match="read the weights"):
        load(layout, copy)
    assert not (tmp_path / "harmed").exists()


def changed(copy: Path, name: str, **tensors) -> Path:
    file = copy / name
    held = {**load_file(file), **tensors}
    save_file({key: one for key, one in held.items() if one is not None}, file)
    return copy


@pytest.mark.parametrize(
    "found, tensors",
    [
        ("no tensor b_dec", {"b_dec": None}),
        (r"b_dec of shape \[9\] instead of \[e\], e = 8", {"b_dec": torch.zeros(9)}),
        (r"W_enc of shape \[16, 8\] instead of \[d, units\], d = 8, units = 16", {"W_enc": torch.zeros(16, 8)}),
        ("b_dec with numbers of another kind", {"b_dec": torch.zeros(8, dtype=torch.int32)}),
        ("b_dec with numbers that are none", {"b_dec": torch.full((8,), float("nan"))}),
        ("more than this format has: W_skip", {"W_skip": torch.zeros(8, 8)}),
    ],
)
def test_tensors_that_do_not_belong(found, tensors, tmp_path):
    copy = changed(copied("saelens", tmp_path), "sae_weights.safetensors", **tensors)
    with pytest.raises(FormatError, match=found):
        load_dictionary(copy)


def test_a_tensor_that_is_larger_than_its_bytes_is_no_tensor(tmp_path):
    copy = copied("openai", tmp_path)
    held = torch.load(copy, weights_only=True)
    held["encoder.weight"] = torch.zeros(1).expand(10**6, 10**6)
    torch.save(held, copy)
    with pytest.raises(FormatError, match=r"encoder\.weight with numbers of another kind"):
        load_dictionary(copy, reads="resid.0")


def relabelled(copy: Path, name: str, **says) -> Path:
    file = copy / name
    held = json.loads(file.read_text())
    inside = held.get("trainer", held)
    inside.update(says)
    file.write_text(json.dumps(held))
    return copy


@pytest.mark.parametrize(
    "layout, says, found",
    [
        ("saelens", {"d_sae": 17}, r"instead of \[d, units\], d = 8, units = 17|units = 17"),
        ("saelens", {"architecture": "standard"}, "more than this format has"),
        ("saelens", {"architecture": "gatd"}, "'gated'"),
        ("saelens", {"d_in": "8"}, "d_in: '8'"),
        ("saelens", {"apply_b_dec_to_input": 1}, "apply_b_dec_to_input: 1"),
        ("saelens", {"normalize_activations": "expected_average_only_in"}, "activation_scaler.json"),
        ("dictionary-learning", {"dict_class": "GatedAutoEncoder"}, "more than this format has"),
        ("dictionary-learning", {"dict_size": 99}, "dict_size: 99"),
        ("dictionary-learning", {"k": 6}, "k: 6"),
        ("sparsify", {"k": 17}, "17 of 16 units"),
        ("sparsify", {"skip_connection": False}, "more than this format has: W_skip"),
    ],
)
def test_settings_of_other_weights(layout, says, found, tmp_path):
    with pytest.raises(FormatError, match=found):
        load_dictionary(relabelled(copied(layout, tmp_path), str(LAYOUTS[layout][2]), **says))


@pytest.mark.parametrize(
    "layout, says, found",
    [
        ("saelens", {"architecture": "temporal"}, "'temporal': activations that depend on the tokens before"),
        ("saelens", {"architecture": "matching_pursuit"}, "'matching_pursuit': units chosen one after another"),
        ("saelens", {"architecture": "abstopk"}, "'abstopk': units that are active below zero"),
        ("saelens", {"normalize_activations": "covariance_whitening"}, "covariance_whitening"),
        ("saelens", {"activation_fn": "tanh-relu"}, "tanh-relu"),
        ("saelens", {"metadata": {"hook_name": "blocks.3.attn.hook_z", "hook_head_index": 3}}, "head 3 alone"),
        ("sparsify", {"activation": "groupmax"}, "group by group"),
        ("sparsify", {"signed": True}, "active below zero"),
    ],
)
def test_what_cannot_be_said_here_is_refused(layout, says, found, tmp_path):
    with pytest.raises(NotSupported, match=found):
        load_dictionary(relabelled(copied(layout, tmp_path), str(LAYOUTS[layout][2]), **says))


def test_a_layer_that_is_lacking(tmp_path):
    for layout in ("circuit-tracer set", "gemma-scope 2"):
        copy = copied(layout, tmp_path)
        weights(layout, copy).unlink()
        with pytest.raises(FormatError, match=r"files of the layers \[0, 2\]"):
            load(layout, copy)


def test_a_threshold_below_zero_is_refused_where_it_would_let_units_below_zero_pass(tmp_path):
    copy = changed(copied("circuit-tracer set", tmp_path), "layer_1.safetensors",
                   **{"activation_function.threshold": torch.full((16,), -1.0)})  # fmt: skip
    with pytest.raises(NotSupported, match="threshold of -1, below zero"):
        load_dictionary(copy)


def test_settings_that_are_gone(tmp_path):
    for layout in ("saelens", "dictionary-learning", "sparsify"):
        copy = copied(layout, tmp_path)
        (copy / str(LAYOUTS[layout][2])).unlink()
        with pytest.raises(MissingFile, match="read the settings"):
            load_dictionary(copy)


def test_files_of_two_formats_are_told(tmp_path):
    copy = copied("saelens", tmp_path)
    shutil.copy(copy / "sae_weights.safetensors", copy / "sae.safetensors")
    with pytest.raises(FormatError, match="of saelens and of sparsify"):
        load_dictionary(copy)
    assert load_dictionary(copy, format="saelens").architecture.name == "gated"
