"""Transcoders for every layer from one pass: kept, found, refused, and killed on the way."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from layers_killed import SETTINGS, texts

from microtome.activations.config import StreamConfig
from microtome.activations.stream import Stream
from microtome.core.errors import SiteNotFound, UnknownName, WrongUse
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.saving import load
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.model.model import Model
from microtome.model.opening import open as open_model
from microtome.train import log
from microtome.train.transcoders import home, summary, train_transcoders
from tiny_llama import tiny_folder

HERE = Path(__file__).parent
POINTS = [("a batch", 4), ("a batch", 13), ("the model", 9), ("the set", 1), ("cleaning up", 1)]
pytestmark = pytest.mark.filterwarnings("ignore::microtome.train.doctor.doctor.TrainingWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny-llama")


@pytest.fixture(scope="module")
def llama(folder) -> Model:
    return open_model(folder, certify=False)


@pytest.fixture(scope="module")
def whole(llama, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "transcoders"
    train_transcoders(llama, texts(), out=out, **SETTINGS)
    return out


def test_one_dictionary_with_a_block_a_layer_explains_the_mlps(llama, whole):
    found = load(whole)
    assert found.reads == ("mlp.in.0", "mlp.in.1")
    assert found.writes == ("mlp.out.0", "mlp.out.1")
    assert [(block.reads, block.writes, block.units) for block in found.geometry.blocks] == [
        ((0,), (0,), 24), ((1,), (1,), 24),
    ]  # fmt: skip
    rows = Stream(llama, texts(), ["mlp.in.*", "mlp.out.*"], StreamConfig(context=24, buffer_rows=900)).batch(
        600, (*found.reads, *found.writes)
    )
    said = found.reconstruct(torch.stack([rows[site] for site in found.reads], 1))
    for i, site in enumerate(found.writes):
        explained = ExplainedVariance()
        explained.add(rows[site], said[:, i])
        assert explained.value() > 0.2
    assert sorted(path.name for path in whole.iterdir()) == ["dictionary.json", "dictionary.safetensors", log.FILE]


def test_its_card_says_how_it_was_made_and_how_it_went(llama, whole):
    card = load(whole).card
    assert card is not None
    assert card.model["name"] == "tiny-llama"
    assert card.config["tokens"] == 1024
    assert card.config["asked"]["reading"]["norm_limit"] == 10.0
    assert card.data["limits"].keys() == {"mlp.in.0", "mlp.in.1", "mlp.out.0", "mlp.out.1"}
    assert card.config["layers"]["mlp.in.1"]["final"]["l0"] == pytest.approx(3, abs=0.2)
    last = [line for line in log.read(whole) if line["tokens"] == 1024]
    mean = sum(line["variance_explained"] for line in last) / 2
    assert f"variance explained {mean:.3f} in the mean over 2 layers" in summary(load(whole))
    assert card.config["seconds"] > 0


def test_it_is_kept_in_the_cache_and_found_by_name(llama, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path))
    made = train_transcoders(llama, texts(), "1", **SETTINGS)
    assert home(llama) == tmp_path / "dictionaries" / "tiny-llama" / "transcoders"
    found = load_dictionary("tiny-llama/transcoders")
    assert found.reads == ("mlp.in.1",)
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), found.parameters(), strict=True))


def test_what_was_made_is_given_again_and_other_settings_are_refused(llama, whole):
    before = (whole / "dictionary.safetensors").stat().st_mtime_ns
    again = train_transcoders(llama, texts(), out=whole, **SETTINGS)
    assert again.n_units == 48
    assert (whole / "dictionary.safetensors").stat().st_mtime_ns == before
    with pytest.raises(WrongUse, match=r"others there: .*units was 24, now 30"):
        train_transcoders(llama, texts(), out=whole, **{**SETTINGS, "units": 30})
    with pytest.raises(WrongUse, match="others there: texts was"):
        train_transcoders(llama, texts()[:-1], out=whole, **SETTINGS)


def test_wrong_words_are_told_before_the_model_runs(llama, tmp_path):
    with pytest.raises(SiteNotFound, match="layer 7, but this model has layers 0 to 1"):
        train_transcoders(llama, texts(), "7", out=tmp_path)
    with pytest.raises(UnknownName, match="no setting of this training is called 'tokns'"):
        train_transcoders(llama, texts(), out=tmp_path, tokns=3)


@pytest.mark.parametrize("point, number", POINTS)
def test_killed_anywhere_it_ends_as_if_it_had_not_been(point, number, folder, llama, whole, tmp_path):
    out = tmp_path / "transcoders"
    told = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *sys.path]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(HERE / "layers_killed.py"), str(folder), str(out), point]
    done = subprocess.run([*command, str(number)], env=told, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    train_transcoders(llama, texts(), out=out, **SETTINGS)
    ours, theirs = load(out), load(whole)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert figures(out) == figures(whole)
    assert {one.name for one in out.iterdir()} == {one.name for one in whole.iterdir()}


def figures(folder: Path) -> list[dict]:
    """The log but for how quick it was."""
    return [{key: v for key, v in line.items() if key != "tokens_per_second"} for line in log.read(folder)]
