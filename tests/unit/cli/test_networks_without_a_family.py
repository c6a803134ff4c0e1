"""A folder that no family describes, at the command line: what can be had, and what is missing, in words."""

import json
from pathlib import Path

import pytest

from tiny_llama import tiny_tokenizer
from tiny_models import unknown_module


@pytest.fixture
def bloom(tmp_path) -> Path:
    folder = tmp_path / "bloom"
    unknown_module("bloom", vocab_size=260).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_inspect_names_its_modules_and_says_what_is_missing(invoke, bloom):
    words, document = invoke("inspect", str(bloom)), invoke("inspect", str(bloom), "--json")
    assert (words.code, document.code) == (0, 0)
    assert "sites: logits module:transformer " in words.out
    assert " module:transformer.h.*.mlp.dense_h_to_4h " in words.out
    assert "no family describes 'bloom': it has no sites by name" in words.out
    found = json.loads(document.out)
    assert found["certificate"]["passed"]
    assert found["n_layers"] == 0
    assert "module:transformer.h.2.mlp" in found["sites"]


def test_it_predicts_and_is_not_traced(invoke, bloom):
    assert invoke("predict", "the cat", "--model", str(bloom)).code == 0
    done = invoke("trace", "the cat", "--model", str(bloom))
    assert done.code == 3
    assert "no family describes it" in done.err
    assert "docs/how-to/add-a-family.md" in done.err
