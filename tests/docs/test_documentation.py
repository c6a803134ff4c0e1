"""Documentation runs: tables are what they describe, Python blocks execute, commands leave with 0."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tables import DOCS, STARTS, TABLES, THEIRS

from microtome.core.sites import FOREIGN

ROOT = DOCS.parent
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)( long)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
STARTED_BY = {
    "microtome": [str(Path(sys.executable).with_name("microtome"))],
    "torchrun": [sys.executable, "-m", "torch.distributed.run"],
}
REDUCED = ["--n", "4", "--sizes", "100", "--draws", "2"]  # what comes last on a command line counts


def blocks(page: Path, language: str) -> list[tuple[str, bool]]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(code, bool(long)) for name, long, code in found if name == language]


def label(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_what_it_describes(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    assert text.partition(STARTS[name])[2] == TABLES[name]().removeprefix(STARTS[name])


def test_every_foreign_pattern_has_a_row():
    assert [pattern.pattern for pattern, _ in FOREIGN if not any(map(pattern.match, THEIRS))] == []


@pytest.mark.real
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=label)
def test_python_blocks_run_in_order_and_give_what_they_name(page, smollm2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "documentation"}
    for code, _ in blocks(page, "python"):
        exec(compile(code, label(page), "exec"), names)
        assert bool(capsys.readouterr().out.strip()) == ("print(" in code)
        files = re.findall(r'"([\w-]+\.(?:html|jsonl?))"', code)
        assert [file for file in files if not Path(file).stat().st_size] == []


@pytest.mark.real
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=label)
def test_commands_run(page, smollm2, tmp_path):
    for block, long in blocks(page, "console"):
        for line in [
            line for line in block.splitlines() if line.startswith(tuple(f"$ {name} " for name in STARTED_BY))
        ]:
            _, name, *words = shlex.split(line)
            command = [*STARTED_BY[name], *words]
            reduced = REDUCED if long else []
            done = subprocess.run([*command, *reduced], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{line}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
