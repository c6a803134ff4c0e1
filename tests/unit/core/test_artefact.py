"""A reader sees the old file or the new one, whatever befell the writer: an exception, Ctrl-C, or kill -9."""

import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from microtome.core.artefact import (
    RunCard,
    command_line,
    folder_written_whole,
    read_json,
    writable,
    write_json,
    written_whole,
)
from microtome.core.errors import FormatError, MissingFile, WrongUse

WRITER = """
import sys, time
from microtome.core.artefact import written_whole
with written_whole(sys.argv[1]) as temporary:
    temporary.write_text("half of the n")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=lambda blow: blow.name)
def test_a_writer_that_is_killed_leaves_the_old_file(tmp_path, blow):
    path = tmp_path / "graph.json"
    write_json(path, {"version": "old"})
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as writer:
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(blow)
        writer.wait(timeout=20)
    assert read_json(path, kind="graph") == {"version": "old"}
    left = [one.name for one in tmp_path.iterdir() if one != path]
    if blow is signal.SIGINT:
        assert left == []  # it had time to clear up
    else:
        assert all(name.startswith(".graph.json.") and name.endswith(".part") for name in left)


def test_an_exception_leaves_the_old_file_and_nothing_beside(tmp_path):
    path = tmp_path / "graph.json"
    path.write_text("old")

    def write():
        with written_whole(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "name, found",
    [
        ("folder", "a folder of that name"),
        ("file/x.html", "file is a file, no folder"),
        ("x" * 300, "File name too long"),
    ],
    ids=["folder", "under-a-file", "too-long"],
)
def test_what_cannot_be_written_says_why_before_and_at_the_writing(tmp_path, name, found):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("in the way")
    for ask in (writable, lambda path: write_json(path, {})):
        with pytest.raises(WrongUse) as caught:
            ask(tmp_path / name)
        assert caught.value.found.endswith(found)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file", "folder"]


@contextmanager
def a_disk_with_room_for(size: int) -> Iterator[None]:
    """The system takes no more of a file, as a full disk takes no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_one_clear_message_whoever_writes(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_text("old")
    for write in (
        lambda temporary: save_file({"x": torch.zeros(1000)}, temporary),
        lambda temporary: temporary.write_text("x" * 4000),
    ):
        with a_disk_with_room_for(100), pytest.raises(WrongUse) as caught, written_whole(path) as temporary:
            write(temporary)
        assert str(caught.value) == (
            f"write {path}\n  found: File too large\n  do:    free some space, or name a file on another disk"
        )
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_wrong_with_the_content_is_not_said_of_the_disk(tmp_path):
    def write_and_read():
        with written_whole(tmp_path / "a") as temporary:
            temporary.write_bytes(b"\xff" * 16)
            safe_open(temporary, "pt").__enter__()

    with pytest.raises(SafetensorError, match="header"):
        write_and_read()


def test_a_folder_is_the_old_one_or_the_new_one(tmp_path):
    place = tmp_path / "set"
    with folder_written_whole(place) as folder:
        assert (folder.name, place.exists()) == ("set", False)
        (folder / "a").write_text("1")
        (folder / "b").write_text("1")

    def fail_half_way():
        with folder_written_whole(place) as folder:
            (folder / "a").write_text("2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert {one.name: one.read_text() for one in place.iterdir()} == {"a": "1", "b": "1"}
    with folder_written_whole(place) as folder:
        (folder / "a").write_text("3")
        (folder / "b").write_text("3")
    assert {one.name: one.read_text() for one in place.iterdir()} == {"a": "3", "b": "3"}
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_that_holds_more_is_not_replaced(tmp_path):
    for name in "abcdefgh":
        (tmp_path / name).write_text("old")
    with pytest.raises(WrongUse) as caught, folder_written_whole(tmp_path) as folder:
        (folder / "a").write_text("new")
    assert str(caught.value) == (
        f"write into the folder {tmp_path}\n  found: other files there: b, c, d, e, f, g and 1 more\n"
        "  do:    name a new folder, or remove that one first"
    )
    assert (tmp_path / "a").read_text() == "old"
    with pytest.raises(WrongUse, match="found: a file of that name"), folder_written_whole(tmp_path / "a"):
        pass


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc here")
@pytest.mark.parametrize("name", ["x.html", "x/y.html"])
def test_a_folder_that_takes_no_file_is_told_before_the_work(name):
    """The right to write is there for root, who cannot write there all the same."""
    with pytest.raises(WrongUse, match="no file can be made in /proc: "):
        writable(Path("/proc") / name)


def test_asking_whether_a_file_can_be_written_makes_nothing(tmp_path):
    assert writable(tmp_path / "new" / "x.html") == tmp_path / "new" / "x.html"
    assert list(tmp_path.iterdir()) == []


def test_folders_are_made_and_the_umask_is_kept(tmp_path):
    before = os.umask(0o027)
    try:
        path = write_json(tmp_path / "new" / "folder" / "a.json", {"é": "→"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_bytes() == '{"é":"→"}'.encode()


def test_json_is_strict(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content, error, found",
    [
        (None, MissingFile, "no such file"),
        (b'{"half": ', FormatError, "no readable JSON"),
        (b"\xff\xfe", FormatError, "no readable JSON"),
        (b"[1, 2]", FormatError, "a JSON list"),
    ],
    ids=["missing", "truncated", "no-utf8", "no-object"],
)
def test_what_cannot_be_read_says_what_was_found(tmp_path, content, error, found):
    path = tmp_path / "graph.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error) as raised:
        read_json(path, kind="graph")
    assert raised.value.what == f"read the graph {path}"
    assert raised.value.found.startswith(found)


def test_a_run_card_says_how_it_was_made_and_survives_json():
    card = RunCard("graph", format=1, seed=3, config={"max_nodes": 7}, model={"name": "smollm2"})
    told = json.loads(json.dumps(card.to_dict()))
    assert told["kind"] == "graph"
    assert told["config"] == {"max_nodes": 7}
    assert told["command"] == command_line(sys.argv)
    assert {"python", "torch", "transformers"} <= set(told["libraries"])
    assert RunCard("graph", 1, config={"a": 1}).config is not RunCard("graph", 1).config


def test_a_command_can_be_typed_again():
    installed = str(Path(sys.executable).parent / "microtome")
    assert command_line([installed, "bench", "neuron trace"]) == "microtome bench 'neuron trace'"
    assert command_line(["recipes/make_tiny.py", "--quick"]) == "recipes/make_tiny.py --quick"
    assert command_line([""]) == ""
