"""Harvest, train, stop and go on, as a person does it."""

import json

import pytest

from microtome.cli.settings import settings_of
from microtome.core.errors import WrongUse
from microtome.data.corpus import corpus
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.geometry import sae
from microtome.dictionary.saving import load, save
from microtome.dictionary.starting import untrained


def test_a_store_becomes_a_dictionary(invoke, folder, tmp_path):
    (tmp_path / "texts.txt").write_text("\n\n".join(f"{n} green bottles, hanging on the wall" for n in range(40)))
    done = invoke("harvest", "texts.txt", "--site", "resid.1", "--model", str(folder), "--out", "store")
    assert done.code == 0, done.err
    words = ("train", "store", "--site", "resid.1", "--units", "16", "--k", "2", "--tokens", "512", "--out", "sae")
    more = (
        "--set",
        "batch=64",
        "--set",
        "aux_k=0",
        "--set",
        'doctor={"shrinkage":"off"}',
        "--set",
        "dead_after=10M tokens",
    )
    done = invoke(*words, *more)
    assert done.code == 0, done.err
    assert "Dictionary(topk sae at resid.1, 16 units)\n  variance explained" in done.out
    assert "dead_after = '10M tokens' (10,000,000 tokens) in a run of 512 tokens, 8 steps" in done.err
    assert load(tmp_path / "sae").architecture.k == 2
    again = invoke(*words, *more)
    assert again.code == 2
    assert "a run that was begun there" in again.err
    document = json.loads(invoke(*words, *more, "--resume", "--json").out)
    assert document["final"]["tokens"] == 512
    assert document["card"]["config"]["job"]["name"] == "topk sae resid.1 16 units"


def test_losses_are_measured_on_documents_that_it_did_not_learn_from(invoke, tmp_path):
    (tmp_path / "texts.txt").write_text("\n\n".join(f"{n} green bottles, hanging on the wall" for n in range(40)))
    (tmp_path / "held.jsonl").write_text("".join(json.dumps({"text": text}) + "\n"
                                                 for text in corpus("texts.txt").split()[1].documents()))  # fmt: skip
    assert invoke("harvest", "texts.txt", "--site", "resid.1", "--model", "tiny", "--out", "store").code == 0
    made = untrained(sae("resid.1", 128, 16), TopK(k=2), seed=0)
    save(made, tmp_path / "sae")
    words = ("measure", "sae", "--store", "store", "--model", "tiny", "--json", "--texts")
    done = {name: invoke(*words, name) for name in ("texts.txt", "held.jsonl")}
    assert done["texts.txt"].code == 0, done["texts.txt"].err
    found = {name: json.loads(one.out) for name, one in done.items()}
    assert found["texts.txt"] == found["held.jsonl"]
    whole = json.loads(invoke(*words, "texts.txt", "--whole").out)
    added = "cross-entropy added"
    assert whole[added]["value"] != found["texts.txt"][added]["value"]


def test_a_misspelt_setting_names_the_nearest(invoke, folder, tmp_path):
    (tmp_path / "texts.txt").write_text("ten green bottles, hanging on the wall " * 9)
    assert invoke("harvest", "texts.txt", "--site", "resid.1", "--model", str(folder), "--out", "store").code == 0
    done = invoke("train", "store", "--site", "resid.1", "--set", "learning_rate=1")
    assert done.code == 3
    assert "no setting of this training is called 'learning_rate'" in done.err


def test_settings_are_read_as_json_and_else_as_words():
    given = ["lr=0.001", "warm_up=5%", "tensorboard=true", 'resample_at=["25%", "50%"]', "wandb=a=b"]
    assert settings_of(given) == {
        "lr": 0.001, "warm_up": "5%", "tensorboard": True, "resample_at": ("25%", "50%"), "wandb": "a=b",
    }  # fmt: skip
    with pytest.raises(WrongUse, match="NAME=VALUE"):
        settings_of(["lr"])
