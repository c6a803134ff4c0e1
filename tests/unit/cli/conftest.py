"""Commands are run as a person runs them: in a process of their own, whose streams and exit code are looked at."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = str(Path(sys.executable).with_name("microtome"))


@pytest.fixture
def microtome(tmp_path):
    """`microtome("list", "task")` gives the finished process; it ran in an empty folder."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([COMMAND, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    return run
