"""The cache trusts nothing half-written: builders are killed, files cut, and two race for one name."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from microtome.core.errors import WrongUse
from microtome.model.sources.cache import MARKER, built_once, cache_root, is_whole, recall, remember

BUILDER = """
import sys, time
from pathlib import Path
from microtome.model.sources.cache import built_once

def build(folder):
    (folder / "weights").write_bytes(b"half")
    print("begun", flush=True)
    sys.stdin.readline()
    (folder / "weights").write_bytes(b"whole" + sys.argv[2].encode())
    return {}

print(built_once(Path(sys.argv[1]), build))
"""


def start_builder(folder: Path, tag: str) -> subprocess.Popen:
    command = [sys.executable, "-c", BUILDER, str(folder), tag]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def build(folder: Path) -> dict:
    (folder / "inner").mkdir()
    (folder / "weights").write_bytes(b"0123456789")
    (folder / "inner" / "notes").write_text("x")
    return {"kind": "test"}


def refuse(folder: Path) -> dict:
    raise AssertionError("built again")


def test_a_built_folder_is_not_built_again(tmp_path):
    folder = tmp_path / "some" / "model"
    assert built_once(folder, build) == folder
    assert built_once(folder, refuse) == folder
    assert json.loads((folder / MARKER).read_text()) == {
        "format": 1,
        "kind": "test",
        "files": {"inner/notes": 1, "weights": 10},
    }
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: (folder / "weights").write_bytes(b"01234"),
        lambda folder: (folder / "weights").unlink(),
        lambda folder: (folder / MARKER).unlink(),
        lambda folder: (folder / MARKER).write_text('{"format": 1, "fi'),
        lambda folder: (folder / MARKER).write_text('{"format": 1, "files": 3}'),
        lambda folder: (folder / MARKER).write_text('{"format": 2, "files": {}}'),
        lambda folder: (folder / MARKER).write_text("{}"),
    ],
    ids=["cut", "gone", "no-marker", "cut-marker", "odd-marker", "newer-format", "empty-marker"],
)
def test_a_damaged_folder_is_noticed_and_built_again(tmp_path, caplog, harm):
    folder = built_once(tmp_path / "model", build)
    harm(folder)
    assert not is_whole(folder)
    built_once(folder, build)
    assert is_whole(folder)
    assert caplog.messages == [f"microtome: the cached {folder} is incomplete; building it again"]


def test_a_failing_build_leaves_nothing(tmp_path):
    def fail(folder: Path) -> dict:
        (folder / "weights").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built_once(tmp_path / "cache" / "model", fail)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_killed_build_is_not_trusted_and_swept_later(tmp_path):
    folder = tmp_path / "model"
    process = start_builder(folder, "A")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = tmp_path.iterdir()
    assert left.suffix == ".part"
    built_once(folder, build)
    assert (folder / "weights").read_bytes() == b"0123456789"
    assert left.exists()  # young: it could be a living process's
    long_ago = time.time() - 2 * 3600
    for path in (left / "weights", left):
        os.utime(path, (long_ago, long_ago))
    built_once(tmp_path / "other", build)
    assert not left.exists()


def test_of_two_builders_the_second_uses_what_the_first_made(tmp_path):
    folder = tmp_path / "model"
    first, second = start_builder(folder, "A"), start_builder(folder, "B")
    assert first.communicate("go\n")[0] == f"{folder}\n"
    assert second.communicate("go\n")[0] == f"{folder}\n"
    assert (first.returncode, second.returncode) == (0, 0)
    assert (folder / "weights").read_bytes() == b"wholeA"
    assert is_whole(folder)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_cache_that_cannot_be_written_to_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WrongUse) as error:
        built_once(tmp_path / "file" / "models" / "one", build)
    assert str(error.value) == (
        f"write to the cache {tmp_path}/file/models\n"
        f"  found: [Errno 20] Not a directory: '{tmp_path}/file/models'\n"
        "  do:    set MICROTOME_CACHE to a folder that can be written to"
    )


def test_values_are_remembered_by_key_and_name():
    remember("k1", "certificate", {"ok": True})
    remember("k1", "fingerprint", "abc")
    assert recall("k1", "certificate") == {"ok": True}
    assert recall("k1", "fingerprint") == "abc"
    assert recall("k2", "certificate") is None


@pytest.mark.parametrize("text", ["", '{"format": 1, "val', "[]", '{"format": 9, "value": 3}', "\x00\xff"])
def test_a_corrupt_value_is_ignored_and_rewritten(text):
    remember("k", "certificate", 1)
    (place,) = (cache_root() / "opened").rglob("*.json")
    place.write_text(text, encoding="latin-1")
    assert recall("k", "certificate") is None
    remember("k", "certificate", 2)
    assert recall("k", "certificate") == 2


def test_a_value_that_cannot_be_kept_costs_only_a_notice(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "file"))
    remember("k", "certificate", 1)
    assert recall("k", "certificate") is None
    assert len(caplog.messages) == 1
    found = f"{tmp_path / 'file'} is a file, no folder"
    assert caplog.messages[0] == f"microtome: cannot remember the certificate of this model ({found})"


def test_without_the_variable_it_lies_in_the_users_cache(monkeypatch):
    monkeypatch.delenv("MICROTOME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_root().name == "microtome"
