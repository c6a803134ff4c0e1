"""The fingerprint says the same of the same model wherever it lies, and another of any that differs."""

import json
import os

import pytest
import torch
from torch import nn

from microtome.model.sources.cache import cache_root, recall, remember
from microtome.model.sources.identity import fingerprint, opening_key
from microtome.model.sources.load import load


def of(folder, **arguments) -> str:
    return fingerprint(load(folder, device="cpu", **arguments))


def test_it_is_the_same_wherever_the_model_lies(folder, module, tokenizer, tmp_path):
    expected = fingerprint(load((module, tokenizer)))
    assert len(expected) == 16
    assert of(folder) == expected
    assert of(folder, attention="sdpa") == expected
    again = tmp_path / "saved-again"
    loaded = load(folder, device="cpu")
    loaded.module.save_pretrained(again)
    loaded.tokenizer.save_pretrained(again)
    assert of(again) == expected


def test_using_the_tokenizer_changes_nothing(module, tokenizer):
    before = fingerprint(load((module, tokenizer)))
    tokenizer.pad_token = tokenizer.eos_token
    with_pad = fingerprint(load((module, tokenizer)))
    tokenizer(["the", "a the a"], padding=True, truncation=True, max_length=2)
    assert fingerprint(load((module, tokenizer))) == with_pad
    assert with_pad != before  # another special token is another tokenizer


def one_weight(module, tokenizer):
    with torch.no_grad():
        module.model.layers[1].mlp.down_proj.weight[3, 5] += 1e-3


def one_setting(module, tokenizer):
    module.config.rms_norm_eps = 1e-6


def one_token(module, tokenizer):
    tokenizer.add_tokens(["newtoken"])


def chat(module, tokenizer):
    tokenizer.chat_template = "{{ messages }}"


def precision(module, tokenizer):
    module.to(torch.float64)


def a_buffer(module, tokenizer):
    module.register_buffer("extra", torch.ones(3))


@pytest.mark.parametrize("change", [one_weight, one_setting, one_token, chat, precision, a_buffer])
def test_any_difference_shows(module, tokenizer, change):
    before = fingerprint(load((module, tokenizer)))
    change(module, tokenizer)
    assert fingerprint(load((module, tokenizer))) != before


def test_a_module_of_another_make_has_one_too(tokenizer):
    assert len(fingerprint(load((nn.Linear(3, 3).eval(), tokenizer)))) == 16


def test_the_second_opening_hashes_nothing(folder):
    loaded = load(folder, device="cpu")
    found = fingerprint(loaded)
    key = opening_key(loaded)
    assert recall(key, "fingerprint") == found
    remember(key, "fingerprint", "planted")
    assert fingerprint(load(folder, device="cpu")) == "planted"
    (place,) = (cache_root() / "opened").rglob("fingerprint.json")
    place.write_text(json.dumps({"format": 1, "value": 3}))
    assert fingerprint(load(folder, device="cpu")) == found
    assert recall(key, "fingerprint") == found


def test_the_key_follows_files_dtype_device_and_attention(folder):
    keys = [
        opening_key(load(folder, device="cpu")),
        opening_key(load(folder, device="cpu", dtype="bfloat16")),
        opening_key(load(folder, device="cpu", attention="sdpa")),
        opening_key(load(folder, device="cpu"), device=torch.device("meta")),
    ]
    os.utime(folder / "tokenizer.json", (1, 1))
    keys.append(opening_key(load(folder, device="cpu")))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    keys.append(opening_key(load(folder, device="cpu")))
    assert len(set(keys)) == len(keys)
    assert opening_key(load(folder, device="cpu")) == keys[-1]
    assert opening_key(load(folder, device="cpu"), torch.bfloat16) != keys[-1]


def test_from_memory_there_is_no_key(module, tokenizer):
    assert opening_key(load((module, tokenizer))) is None
    fingerprint(load((module, tokenizer)))
    assert not cache_root().exists()
