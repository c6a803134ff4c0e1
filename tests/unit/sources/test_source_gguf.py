"""A GGUF becomes a folder once, exactly, or is refused: the file is the same network whose weights we know."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from transformers.utils import logging

from microtome.core.errors import FormatError, ModelNotFound, NotSupported
from microtome.core.fingerprint import of_file
from microtome.model.sources.cache import MARKER, is_whole
from microtome.model.sources.conversion import from_gguf
from microtome.model.sources.load import load

IDS = torch.tensor([[5, 77, 130, 258, 9, 41]])


def logits(module) -> torch.Tensor:
    with torch.no_grad():
        return module(IDS).logits


def test_it_computes_what_the_module_computed(module, tokenizer, write_gguf, tmp_path):
    loaded = load(write_gguf(tmp_path / "tiny.gguf"), device="cpu", attention="sdpa")
    assert torch.equal(logits(loaded.module), logits(module))
    assert (loaded.name, loaded.source) == ("tiny", str(tmp_path / "tiny.gguf"))
    text = "the thé a\n\t<|end|>"
    assert loaded.tokenizer(text).input_ids == tokenizer(text).input_ids
    assert loaded.module.dtype == torch.float32


def test_quantised_weights_are_dequantised_as_gguf_defines(module, write_gguf, tmp_path):
    kind = gguf.GGMLQuantizationType.Q8_0
    loaded = load(write_gguf(tmp_path / "q8.gguf", kind=kind), device="cpu")
    weight = module.model.layers[1].mlp.down_proj.weight.detach().numpy()
    expected = gguf.dequantize(gguf.quantize(weight, kind), kind)
    np.testing.assert_array_equal(loaded.module.model.layers[1].mlp.down_proj.weight.numpy(), expected)
    assert not np.array_equal(expected, weight)


def test_the_second_opening_converts_nothing(write_gguf, tmp_path, cache):
    path = write_gguf(tmp_path / "tiny.gguf")
    folder = from_gguf(path)
    made = (folder / MARKER).stat().st_mtime_ns
    assert from_gguf(path) == folder
    assert (folder / MARKER).stat().st_mtime_ns == made
    assert folder.parent == cache / "models"
    assert folder.name.startswith("tiny-")
    os.utime(path, (1, 1))
    assert from_gguf(path) != folder


def test_a_cut_cache_is_built_again(module, write_gguf, tmp_path, caplog):
    path = write_gguf(tmp_path / "tiny.gguf")
    folder = from_gguf(path)
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    assert torch.equal(logits(load(path, device="cpu", attention="sdpa").module), logits(module))
    assert caplog.messages == [f"microtome: the cached {folder} is incomplete; building it again"]


def test_a_conversion_that_is_killed_is_done_again(write_gguf, tmp_path, cache):
    path = write_gguf(tmp_path / "tiny.gguf")
    code = f"from microtome.model.sources.conversion import from_gguf; from_gguf({str(path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.time() + 60
    while not any(cache.glob("models/.*.part")) and time.time() < deadline:
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert [path.suffix for path in (cache / "models").iterdir()] == [".part"]
    assert is_whole(from_gguf(path))


def test_chunks_are_put_together_and_checked(module, write_gguf, tmp_path):
    whole = write_gguf(tmp_path / "whole.gguf").read_bytes()
    parts = [tmp_path / "part00", tmp_path / "part01"]
    parts[0].write_bytes(whole[:5000])
    parts[1].write_bytes(whole[5000:])
    sha256 = of_file(tmp_path / "whole.gguf")
    folder = from_gguf(*parts, name="whole.gguf", sha256=sha256)
    assert torch.equal(logits(load(folder, device="cpu", attention="sdpa").module), logits(module))
    assert not list(folder.glob("*.gguf"))
    parts[1].unlink()
    shutil.copy(parts[0], parts[1])
    with pytest.raises(FormatError) as error:
        from_gguf(*parts, name="whole.gguf", sha256="0" * 64)
    joined = tmp_path / "joined"
    joined.write_bytes(whole[:5000] * 2)
    assert str(error.value) == (
        "read the GGUF file 'whole.gguf'\n"
        f"  found: its SHA-256 is {of_file(joined)}, not the pinned {'0' * 64}\n"
        "  do:    get the file again"
    )


@pytest.mark.parametrize(
    "name", ["we ird\n'\"[x]#é%41.gguf", "-rf.gguf", "..gguf", "$(touch x).gguf", "a" * 200 + ".gguf"]
)
def test_odd_file_names(write_gguf, tmp_path, cache, name):
    folder = from_gguf(write_gguf(tmp_path / name))
    assert folder.parent == cache / "models"
    assert is_whole(folder)
    assert len(folder.name) <= 64 + 17
    assert set(folder.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


@pytest.mark.parametrize("keep", [4, 20, 200, 3000, 20_000, -1])
def test_a_cut_file(write_gguf, tmp_path, cache, keep):
    path = write_gguf(tmp_path / "tiny.gguf")
    os.truncate(path, keep if keep > 0 else path.stat().st_size - 64)
    with pytest.raises(FormatError) as error:
        from_gguf(path)
    assert error.value.what == "read the GGUF file 'tiny.gguf'"
    assert error.value.found.startswith(f"{path.stat().st_size} bytes with a header or tensors that are cut short")
    assert error.value.do == "get the file again and compare its checksum with the publisher's"
    assert list((cache / "models").iterdir()) == []


@pytest.mark.parametrize("data", [b"", b"GG", b"\x00" * 4096, b"# a readme\n"])
def test_a_file_that_is_no_gguf(tmp_path, data):
    path = tmp_path / "x.gguf"
    path.write_bytes(data)
    with pytest.raises(FormatError) as error:
        from_gguf(path)
    assert str(error.value) == (
        "read the GGUF file 'x.gguf'\n"
        "  found: its first bytes are not those of a GGUF file\n"
        "  do:    give a .gguf file that is one"
    )


def test_an_absent_file(tmp_path):
    with pytest.raises(ModelNotFound) as error:
        from_gguf(tmp_path / "x.gguf")
    assert str(error.value) == (
        f"open the GGUF file '{tmp_path}/x.gguf'\n  found: no such file\n  do:    check the path"
    )


def test_an_architecture_that_transformers_cannot_read(write_gguf, tmp_path):
    with pytest.raises(NotSupported) as error:
        from_gguf(write_gguf(tmp_path / "x.gguf", architecture="clip"))
    assert str(error.value) == (
        "open the GGUF file 'x.gguf'\n"
        "  found: transformers cannot read the architecture 'clip' from GGUF "
        "(GGUF model with architecture clip is not supported yet.)\n"
        "  do:    give a Hugging Face folder of the same model"
    )


def test_a_file_without_a_tokenizer(write_gguf, tmp_path):
    with pytest.raises(FormatError) as error:
        from_gguf(write_gguf(tmp_path / "x.gguf", vocabulary=False))
    assert error.value.found == "it carries no tokenizer"


def test_a_tokenizer_that_transformers_cannot_read(write_gguf, tmp_path):
    with pytest.raises(NotSupported) as error:
        from_gguf(
            write_gguf(
                tmp_path / "x.gguf",
                vocabulary=False,
                keys=lambda writer: (writer.add_tokenizer_model("rwkv"), writer.add_token_list(["a", "b"])),
            )
        )
    assert error.value.what == "open the GGUF file 'x.gguf'"
    assert error.value.found.startswith("transformers cannot read its tokenizer (")


def add_bias(tensors):
    tensors["blk.0.attn_q.bias"] = np.ones(64, dtype=np.float32)


def add_frequencies(tensors):
    tensors["rope_freqs.weight"] = np.ones(8, dtype=np.float32)


def drop_one(tensors):
    del tensors["blk.1.ffn_up.weight"]


def poison(tensors):
    tensors["blk.1.ffn_up.weight"] = np.full((96, 64), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    "change, kind, found",
    [
        (add_bias, NotSupported, "the file holds 78464 weights, of which transformers' network takes 78400"),
        (
            add_frequencies,
            NotSupported,
            "its rotary positions are rescaled, which transformers does not read from GGUF",
        ),
        (drop_one, FormatError, "the files lack 1 weights of the network, such as model.layers.1.mlp.up_proj.weight"),
        (poison, FormatError, "model.layers.1.mlp.up_proj.weight holds values that are no numbers"),
    ],
)
def test_what_would_silently_be_another_network_is_refused(write_gguf, tmp_path, change, kind, found):
    with pytest.raises(kind) as error:
        from_gguf(write_gguf(tmp_path / "x.gguf", change=change))
    assert (error.value.what, error.value.found) == ("open the GGUF file 'x.gguf'", found)


def test_rescaled_positions_named_by_a_key_are_refused(write_gguf, tmp_path):
    with pytest.raises(NotSupported, match="rotary positions are rescaled"):
        from_gguf(
            write_gguf(
                tmp_path / "x.gguf",
                keys=lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR),
            )
        )


def test_transformers_is_silenced_and_restored(write_gguf, tmp_path, capfd):
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.enable_progress_bar()
    load(write_gguf(tmp_path / "x.gguf"), device="cpu")
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (before[0], True)


@pytest.mark.real
def test_the_real_smollm2():
    try:
        loaded = load("smollm2", device="cpu")
    except ModelNotFound as error:
        pytest.skip(str(error))
    started = time.process_time()
    load("smollm2", device="cpu")
    assert time.process_time() - started < 1.5
    assert sum(parameter.numel() for parameter in loaded.module.parameters()) == 134_515_008
    ids = loaded.tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        best = loaded.module(**ids).logits[0, -1].argmax()
    assert loaded.tokenizer.decode(best) == " Paris"
    assert Path(loaded.folder or "").is_dir()
