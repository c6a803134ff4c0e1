"""A named model that lies in parts, one a package: put together once, checked, and told apart from another file."""

import shutil
from pathlib import Path

import pytest
import torch

from microtome.core.errors import FormatError, ModelNotFound
from microtome.core.fingerprint import of_file
from microtome.model.sources.cache import MARKER, is_whole
from microtome.model.sources.load import converted, load
from microtome.model.sources.named import NamedModel, Split

PART = 20_000


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture
def split(write_gguf, tmp_path, site) -> NamedModel:
    """A model cut into parts, each in an installed package of its own."""
    whole = write_gguf(tmp_path / "whole.gguf")
    data = whole.read_bytes()
    cuts = [data[i : i + PART] for i in range(0, len(data), PART)]
    for i, part in enumerate(cuts, 1):
        folder = site / f"made_up_part{i}" / "data"
        folder.mkdir(parents=True)
        (folder / f"part{i:02d}.bin").write_bytes(part)
        info = site / f"made_up_part{i}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: made-up-part{i}\nVersion: 0.1\n")
    packages = Split("made-up", "0.1", PART, len(cuts[-1]), tuple("0" * 64 for _ in cuts))
    return NamedModel(
        name="made-up",
        summary="parts",
        packages=packages.wheels,
        files=packages.files,
        gguf_name="made-up.gguf",
        gguf_sha256=of_file(whole),
        licence="Apache-2.0",
        parameters=1,
    )


def test_parts_are_one_model(split, module, cache):
    assert len(split.files) > 10, "so that part 10 would come before part 2 in an order by name"
    folder = converted(split)
    ids = torch.tensor([[5, 77, 130]])
    with torch.no_grad():
        found = load(folder, device="cpu", attention="sdpa").module(ids).logits
        assert torch.equal(found, module(ids).logits)
    made = (folder / MARKER).stat().st_mtime_ns
    assert converted(split) == folder
    assert (folder / MARKER).stat().st_mtime_ns == made
    assert not list(cache.rglob("*.gguf")), "the joined file goes once it is converted"


def test_a_join_that_is_interrupted_leaves_the_parts_and_is_done_again(split, cache, monkeypatch):
    copy, copied = shutil.copyfileobj, []

    def stopped(*args):
        copied.append(copy(*args))
        if len(copied) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", stopped)
        with pytest.raises(KeyboardInterrupt):
            converted(split)
    assert list((cache / "models").iterdir()) == []
    assert is_whole(converted(split))


def test_parts_of_another_file_are_refused_with_the_cure(split, site):
    part = site / "made_up_part2" / "data" / "part02.bin"
    part.write_bytes(bytes(PART))
    with pytest.raises(FormatError) as error:
        converted(split)
    packages = " ".join(f"made-up-part{i}" for i in range(1, len(split.files) + 1))
    assert str(error.value).startswith("read the GGUF file 'made-up.gguf'\n  found: its SHA-256 is ")
    assert f", not the pinned {split.gguf_sha256}\n" in str(error.value)
    assert error.value.do == f"run `pip uninstall --yes {packages}`, then `microtome get made-up`"
    part.write_bytes(b"cut")
    with pytest.raises(ModelNotFound) as absent:
        converted(split)
    assert str(absent.value) == (
        f"open the model 'made-up'\n  found: {part} has 3 bytes instead of {PART}\n  do:    run `microtome get made-up`"
    )
