"""Arrows go one way: the contract of layers, checked by import-linter, and what holds beside it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted(path.parent for path in (ROOT / "src" / "microtome").glob("*/__init__.py"))


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def lint_imports(config: Path | None = None) -> subprocess.CompletedProcess[str]:
    tool = str(Path(sys.executable).with_name("lint-imports"))
    return run(tool, "--no-cache", *(["--config", str(config)] if config else []))


def test_rooms_import_downwards_only():
    done = lint_imports()
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_contract_can_fail(tmp_path):
    """With two layers exchanged it must break, else the test above would hold whatever was written."""
    told = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = told[told.index("[tool.importlinter]") :]
    turned = section.replace('"core"', '"@"').replace('"cli"', '"core"').replace('"@"', '"cli"')
    config = tmp_path / "pyproject.toml"
    config.write_text(turned, encoding="utf-8")
    done = lint_imports(config)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_has_a_short_readme(room):
    lines = (room / "README.md").read_text(encoding="utf-8").splitlines()
    assert lines[0] == f"# {room.name}"
    assert 3 < len(lines) <= 40


def test_no_room_imports_the_package_root():
    """`import microtome` inside a room would hide which room it leans on. The command line is the one user of it."""
    guilty = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "src").rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().split(" as ")[0] == "import microtome"
        and path.parent.name != "commands"
        and path.name != "__init__.py"
    ]
    assert guilty == []


def test_importing_the_package_imports_nothing_heavy():
    code = "import microtome, sys; print(sorted({'torch', 'transformers', 'scipy', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.strip() == "[]"


def test_every_name_of_the_front_door_opens():
    code = "import microtome as mt; [getattr(mt, name) for name in mt.__all__]; print(len(mt.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert 10 <= int(done.stdout) <= 28
