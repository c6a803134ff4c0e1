"""Dictionaries of other tools: small ones that the tools made, read here; ours, written and read again."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import exchanged
from microtome.core.errors import FormatError, MissingFile, NotSupported, UnknownName, WrongUse
from microtome.dictionary.architectures.gated import Gated
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions
from microtome.dictionary.exchange import load_dictionary, save_as
from microtome.dictionary.folding import of_unit_length
from microtome.dictionary.format import FORMATS
from microtome.dictionary.geometry import cross_layer, crosscoder, layer_by_layer, sae, transcoder
from microtome.dictionary.saving import save

VECTORS = Path(__file__).parent / "peer_vectors"
CASES = [(peer, name) for peer in exchanged.PEERS for name in exchanged.cases(VECTORS / peer)]


def test_every_peer_left_its_vectors_and_its_version():
    assert {peer for peer, _ in CASES} == set(exchanged.PEERS)
    assert all((VECTORS / peer / "versions.json").is_file() for peer in exchanged.PEERS)


@pytest.mark.parametrize("peer, name", CASES)
def test_codes_and_outputs_are_those_of_the_tool(peer, name):
    folder = VECTORS / peer
    apart = exchanged.difference(exchanged.loaded(folder, name), folder / f"{name}.npz")
    assert max(apart) <= exchanged.TOLERANCE


def test_a_loader_that_folds_lengths_is_ours_and_a_fold():
    folder = VECTORS / "dictionary_learning"
    folded = of_unit_length(load_dictionary(folder / "standard"))
    assert max(exchanged.difference(folded, folder / "standard_as_loaded" / "kept.npz")) <= exchanged.TOLERANCE


WRITTEN = [("saelens", name) for name in exchanged.for_saelens()]
WRITTEN += [("circuit-tracer", name) for name in exchanged.for_circuit_tracer()]
WRITTEN += [("circuit-tracer", name) for name in exchanged.for_later_circuit_tracer()]


@pytest.mark.parametrize("format, name", WRITTEN)
def test_what_is_written_comes_back(format, name, tmp_path):
    ours = ({**exchanged.for_circuit_tracer(), **exchanged.for_later_circuit_tracer()}
            if format == "circuit-tracer" else exchanged.for_saelens())[name]  # fmt: skip
    again = load_dictionary(save_as(ours, tmp_path / "made", format))
    ours = exchanged.as_written(ours)
    assert again.geometry == ours.geometry
    assert again.conventions == ours.conventions
    x = exchanged.inputs(ours)
    torch.testing.assert_close(again.encode(x).dense(), ours.encode(x).dense(), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(again.reconstruct(x), ours.reconstruct(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("peer, name", [("saelens", "gated"), ("saelens", "topk"), ("saelens", "skip_transcoder"),
                                        ("circuit_tracer", "set_relu"), ("circuit_tracer", "clt_relu")])  # fmt: skip
def test_a_file_that_is_read_and_written_has_the_same_weights(peer, name, tmp_path):
    found = exchanged.loaded(VECTORS / peer, name)
    again = load_dictionary(save_as(found, tmp_path / "again", peer.replace("_", "-")))
    kept = again.state_dict()
    assert [key for key, one in found.state_dict().items() if not torch.equal(kept[key], one)] == []


def test_our_own_folder_is_recognised(tmp_path):
    made = exchanged.for_saelens()["topk_by_norm"]
    again = load_dictionary(save_as(made, tmp_path / "own"))
    assert again.architecture == made.architecture
    assert torch.equal(again.b_dec, made.b_dec)
    with pytest.raises(WrongUse, match="says its own"):
        load_dictionary(tmp_path / "own", reads="resid.1")


def test_the_card_says_where_it_was_read():
    card = load_dictionary(VECTORS / "saelens" / "topk").card
    assert card is not None
    assert card.config["format"] == "saelens"
    assert card.config["settings"]["k"] == 5
    assert card.model == {"name": "gpt2"}


def test_sites_come_from_the_files_or_from_the_user():
    assert load_dictionary(VECTORS / "saelens" / "jumprelu_heads").reads == ("attn.heads.3",)
    assert load_dictionary(VECTORS / "saelens" / "transcoder").writes == ("mlp.out.3",)
    assert load_dictionary(VECTORS / "saelens" / "topk", reads="resid_mid.2").writes == ("resid_mid.2",)
    clt = load_dictionary(VECTORS / "circuit_tracer" / "clt_relu")
    assert clt.reads == ("mlp.in.0", "mlp.in.1", "mlp.in.2")
    assert clt.geometry.kind == "cross-layer transcoder"
    assert load_dictionary(VECTORS / "circuit_tracer" / "set_relu").geometry.kind == "set of transcoders"


def test_a_pattern_is_the_layer_that_the_file_of_one_dictionary_names(tmp_path):
    read = load_dictionary(VECTORS / "saelens" / "transcoder", reads="mlp.in.*", writes="mlp.out.*")
    assert (read.reads, read.writes) == (("mlp.in.3",), ("mlp.out.3",))
    assert load_dictionary(VECTORS / "saelens" / "topk", reads="resid_mid.*").reads == ("resid_mid.3",)
    for folders in ("gemma-scope-2b-pt-transcoders/layer_7/width_16k", "transcoder_all/layer_7_width_16k_l0_small"):
        shutil.copytree(VECTORS / "circuit_tracer" / "gemma_1", tmp_path / folders)
        read = load_dictionary(tmp_path / folders, reads="mlp.in.*")
        assert (read.reads, read.writes) == (("mlp.in.7",), ("mlp.out.7",))
    with pytest.raises(WrongUse) as said:
        load_dictionary(VECTORS / "openai" / "topk.pt", reads="resid.*")
    assert str(said.value) == (
        f"load the dictionary {VECTORS / 'openai' / 'topk.pt'}\n"
        "  found: the pattern 'resid.*', and no layer in its files\n  do:    name the one site, such as 'resid.12'"
    )


@pytest.mark.parametrize(
    "folders, site",
    [
        ("gemma-scope-2b-pt-res/layer_5/width_16k/average_l0_68", "resid.6"),
        ("models--google--gemma-scope-2b-pt-mlp/snapshots/0a1b/layer_5/width_16k/average_l0_68", "mlp.out.5"),
        ("my-transcoder-work/gemma-scope-9b-it-att/layer_5/width_16k", "attn.heads.5"),
        ("resid_post/layer_5_width_16k_l0_small", "resid.6"),
    ],
)
def test_gemma_scope_is_placed_by_its_own_folders_alone(folders, site, tmp_path):
    shutil.copytree(VECTORS / "circuit_tracer" / "gemma_1", tmp_path / folders)
    read = load_dictionary(tmp_path / folders)
    assert read.reads == read.writes == (site,)


@pytest.mark.parametrize("name", ["hook_head_index", "hook_point_head_index"])
@pytest.mark.parametrize("flat", [True, False])
def test_one_head_of_saelens_is_refused_whatever_it_is_called(name, flat, tmp_path):
    copy = shutil.copytree(VECTORS / "saelens" / "jumprelu_heads", tmp_path / "head")
    says = json.loads((copy / "cfg.json").read_text())
    (says if flat else says["metadata"])[name] = 3
    (copy / "cfg.json").write_text(json.dumps(says))
    with pytest.raises(NotSupported, match="found: units that read head 3 alone"):
        load_dictionary(copy)


def test_a_place_that_is_not_said_is_asked_for():
    with pytest.raises(WrongUse) as said:
        load_dictionary(VECTORS / "openai" / "topk.pt")
    assert str(said.value) == (
        f"load the dictionary {VECTORS / 'openai' / 'topk.pt'}\n"
        "  found: no name of a place in its files\n"
        "  do:    say which site it is: load_dictionary(…, reads='resid.12'); docs/how-to/exchange-dictionaries.md"
    )


def test_two_places_of_an_autoencoder_are_refused():
    with pytest.raises(WrongUse, match="leave `writes` out"):
        load_dictionary(VECTORS / "saelens" / "topk", writes="resid.9")
    with pytest.raises(WrongUse, match="3 sites belong"):
        load_dictionary(VECTORS / "circuit_tracer" / "set_relu", reads=("mlp.in.0", "mlp.in.1"))


@pytest.mark.parametrize(
    "name, made",
    [
        ("a crosscoder", exchanged.made(crosscoder(("resid.1", "resid.2"), 8, 32), ReLU())),
        ("a topk transcoder", exchanged.made(transcoder("mlp.in.3", "mlp.out.3", 8, 8, 32), TopK(k=4))),
        ("a gated transcoder", exchanged.made(transcoder("mlp.in.3", "mlp.out.3", 8, 8, 32), Gated())),
        ("a set", exchanged.for_circuit_tracer()["set_relu"]),
        ("no such hook", exchanged.made(sae("resid.final", 8, 32), ReLU())),
        ("a skip and a centre", exchanged.made(sae("resid.1", 8, 32), ReLU(), Conventions(skip=True))),
    ],
)
def test_what_saelens_has_not_is_not_written(name, made, tmp_path):
    with pytest.raises(NotSupported, match="SAELens does not have"):
        save_as(made, tmp_path / "out", "saelens")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["topk", "relu", "transcoder"])
def test_what_circuit_tracer_has_not_is_not_written(name, tmp_path):
    with pytest.raises(NotSupported, match=r"for circuit-tracer|rule 'topk'"):
        save_as(exchanged.for_saelens()[name], tmp_path / "out", "circuit-tracer")


def test_topk_of_circuit_tracer_is_said_in_its_settings(tmp_path):
    ours = exchanged.for_later_circuit_tracer()["set_topk"]
    folder = save_as(ours, tmp_path / "set", "circuit-tracer")
    says = yaml.safe_load((folder / "config.yaml").read_text())
    assert (says["activation"], says["k"]) == ("topk", 4)
    clt = exchanged.made(cross_layer(ours.reads, ours.writes, 8, 8, 32), TopK(k=4))
    with pytest.raises(NotSupported, match="a cross-layer transcoder with TopK"):
        save_as(clt, tmp_path / "clt", "circuit-tracer")
    (folder / "config.yaml").write_text(yaml.safe_dump({**says, "k": 33}))
    with pytest.raises(FormatError, match="33 of 32 units"):
        load_dictionary(folder)


def test_a_smaller_set_over_a_larger_one_is_no_mixture(tmp_path):
    ours = exchanged.for_circuit_tracer()
    save_as(ours["set_relu"], tmp_path / "set", "circuit-tracer")
    first = exchanged.made(layer_by_layer(("mlp.in.0",), ("mlp.out.0",), 8, 8, 32), ReLU())
    with pytest.raises(WrongUse, match=r"other files there: layer_1\.safetensors, layer_2\.safetensors"):
        save_as(first, tmp_path / "set", "circuit-tracer")
    with pytest.raises(WrongUse, match=r"other files there: config\.yaml, layer_0"):
        save_as(exchanged.for_saelens()["relu"], tmp_path / "set", "saelens")
    save_as(ours["set_batchtopk"], tmp_path / "set", "circuit-tracer")
    assert load_dictionary(tmp_path / "set").architecture.name == "jumprelu"
    assert [one.name for one in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize("format", [entry.name for entry in FORMATS if entry.value.writes])
def test_a_file_is_no_folder_to_write_into(format, tmp_path):
    made = exchanged.for_circuit_tracer()["set_relu"] if format == "circuit-tracer" else exchanged.for_saelens()["relu"]
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(WrongUse, match=r"file of that name|Not a directory|is a file|File exists"):
            save_as(made, path, format)
    with pytest.raises(WrongUse, match="is a file, no folder"):
        save(made, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "in the way"


def test_formats_that_are_only_read_say_so(tmp_path):
    read_only = [entry.name for entry in FORMATS if not entry.value.writes]
    assert read_only == [
        "crosscoder",
        "dictionary-learning",
        "gemma-scope",
        "llama-scope",
        "llamascopium",
        "openai",
        "qwen-scope",
        "sparsify",
    ]
    for name in read_only:
        with pytest.raises(NotSupported, match="only read here"):
            save_as(exchanged.for_saelens()["relu"], tmp_path / "out", name)
    with pytest.raises(UnknownName, match="'saelens'"):
        save_as(exchanged.for_saelens()["relu"], tmp_path / "out", "saelense")


def test_every_format_has_a_row_in_the_docs():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "exchange-dictionaries.md"
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    said = {row.split("`")[1]: row.rstrip(" |").endswith("yes") for row in rows}
    assert said == {entry.name: entry.value.writes for entry in FORMATS}


def test_nothing_and_nothing_known_are_told_apart(tmp_path):
    with pytest.raises(MissingFile, match="no file or folder"):
        load_dictionary(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FormatError, match=r"no format: notes\.txt"):
        load_dictionary(tmp_path)
