"""`microtome train …`: what is trained is the first word."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::microtome.train.doctor.doctor.TrainingWarning")
QUICK = ["--tokens", "512", "--batch", "64", "--units", "16", "--k", "2", "--texts", "texts.jsonl"]


def test_help_comes_with_an_example(microtome):
    done = microtome("train", "transcoders", "--help")
    assert done.returncode == 0
    assert "Example: microtome train transcoders --model smollm2" in " ".join(done.stdout.split())
    assert "transcoders" in microtome("train", "--help").stdout


def test_transcoders_are_kept_in_the_cache_and_told_in_one_document(invoke, folder, kept):
    lines = [json.dumps({"text": "the cat sat on a mat " * (1 + i % 5)}) for i in range(40)]
    Path("texts.jsonl").write_text("\n".join(lines))
    done = invoke("train", "transcoders", "--model", str(folder), *QUICK, "--set", "lr=0.01", "--json")
    assert done.code == 0, done.err
    card = json.loads(done.out)
    assert [one["name"] for one in card["config"]["asked"]["jobs"]] == ["layer 0", "layer 1"]
    assert [one["learning_rate"] for one in card["config"]["layers"].values()] == [0.01, 0.01]
    assert f"kept in {kept / 'dictionaries' / 'tiny-llama' / 'transcoders'}" in done.err
    words = invoke("train", "transcoders", "--model", str(folder), *QUICK, "--set", "lr=0.01")
    assert "variance explained" in words.out
    assert "512 tokens in" in words.out
    refused = invoke("train", "transcoders", "--model", str(folder), *QUICK, "--units", "20")
    assert refused.code == 2
    assert "units was 16, now 20" in refused.err
