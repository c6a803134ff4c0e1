"""Commands are run as a person runs them: in a process of their own, whose streams and exit code are looked at.

What needs a model runs in this process, since importing torch and transformers takes seconds each time.
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from at_a_terminal import COMMAND

from microtome.cli import main
from tiny_llama import tiny_folder


@pytest.fixture
def microtome(tmp_path):
    """`microtome("list", "task")` gives the finished process; it ran in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    """A folder that holds a tiny Llama whose tokens are bytes."""
    return tiny_folder(tmp_path_factory.mktemp("model") / "tiny-llama")


@pytest.fixture(scope="session")
def kept(tmp_path_factory) -> Path:
    """A cache for all commands of the session, so that the tiny model is measured once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def invoke(tmp_path, monkeypatch, capsys, kept) -> Callable[..., Done]:
    """`invoke("list", "task")`, in this process and an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MICROTOME_CACHE", str(kept))

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as left:
            main(args=list(arguments), prog_name="microtome")
        out, err = capsys.readouterr()
        return Done(int(left.value.code or 0), out, err)

    return run
