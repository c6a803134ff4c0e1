"""`microtome check`: a good package passes, and each broken one fails with a message that says why."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from example_package import POINTS, installed

IN_TURN = Path(__file__).with_name("checked_in_turn.py")
VALUE = "    def value(self):\n        return torch.ones(())\n\n"
CENTRED = "    def activate(self, units, x, shift):\n        return super().activate(units, x - x.mean(0), shift)\n\n"
LOADED = 'return load(path / "box")'
SHIFTED = 'found = load(path / "box")\n        found.b_dec.data += 1\n        return found'
RAW = f'(path / "box").joinpath("units.json").read_text()\n        {LOADED}'

# How it is broken: the kind of its entry, what is written where something stood, and what is said of it.
BROKEN = {
    "no import": ("metric", ("import torch\n", "import torches\n"), "it can be loaded: ModuleNotFoundError"),
    "a name that is taken": (
        "metric", ('"largest_error"', '"cosine"'),
        "two entries want that name: microtome.metrics.cosine and broken_",
    ),
    "no warning": ("metric", ("When it misleads", "Note"), "its docstring has no 'When it misleads:'"),
    "batches": ("metric", (".abs().amax(1)", ".abs().amax().expand(len(x))"), "in batches of 1, and"),
    "a tensor": ("metric", ("    def _parts", f"{VALUE}    def _parts"), "a value of tensor(1.), a Tensor"),
    "other settings": ("architecture", ("return cls(k=6)", "return TopK(k=6)"), "tiny() gives a TopK"),
    "a batch that matters": (
        "architecture", ("    @classmethod", f"{CENTRED}    @classmethod"),
        "a token does not change its neighbours: sae: codes of a token alone and in a batch",
    ),
    "signs": (
        "architecture", ('= "halves"', '= "halves"\n    signed: ClassVar[bool] = True'), "codes never below zero",
    ),
    "every folder": ("format", ('(path / "box").is_dir()', "path.is_dir()"), "it takes empty, which is no dictionary,"),
    "other weights": ("format", (LOADED, SHIFTED), "read again: apart by 1"),
    "a raw error": ("format", (LOADED, RAW), "raises FileNotFoundError"),
    "no number": ("panel", ('len(graph["nodes"])', 'float("nan")'), "what it gives is no strict JSON"),
    "a changed result": (
        "panel", ("    return {", '    graph["nodes"].clear()\n    return {'), "it changes the results",
    ),
    "no script": ("panel", ('".js"', '".jsx"'), "no script at"),
    "a raw panel error": ("panel", ("graph is None or", "graph is None and"), "an empty graph raises KeyError"),
    "no home": ("basis", ("home=__name__", 'home="elsewhere"'), "no basis is registered from broken_"),
    "no line about it": ("basis", ('"neurons of two layers"', '""'), "a summary of '', where one line belongs"),
}  # fmt: skip
NAMES = {how: f"broken-{number}" for number, how in enumerate(BROKEN)}


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What the command left behind, by package."""
    folder = tmp_path_factory.mktemp("packages")
    where = {"good-99": installed(folder / "good", "good-99")}
    for how, name in NAMES.items():
        kind, change, _ = BROKEN[how]
        where[name] = installed(folder / name, name, kind, change)
    pairs = [part for name, path in where.items() for part in (str(path), name)]
    done = subprocess.run([sys.executable, str(IN_TURN), *pairs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(where, json.loads(done.stdout), strict=True))


def test_a_good_package_passes(left):
    done = left["good-99"]
    assert done["code"] == 0, done["err"]
    document = json.loads(done["out"])
    assert document["package"] == "good-99"
    assert {row["kind"] for row in document["checks"]} == set(POINTS)
    assert {row["entry"] for row in document["checks"]} >= {"halves99", "largest_error99", "boxed99", "node-count99"}
    assert all(row["passed"] and row["why"] == "" for row in document["checks"])
    assert len(document["checks"]) > 30
    assert "passed  metric largest_error99: batches do not matter\n" in done["err"]


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_package_fails_and_is_told_why(left, how):
    done, why = left[NAMES[how]], BROKEN[how][2]
    failed = [line for line in done["out"].splitlines() if line.startswith("FAILED")]
    assert (done["code"], any(why in line for line in failed)) == (4, True), done["out"] + done["err"]
    assert done["err"].startswith(f"check the package {NAMES[how]!r}\n  found: {len(failed)} of ")


@pytest.mark.parametrize(
    ("package", "found"),
    [
        ("no-such-package-at-all", "no installed package of that name"),
        ("safetensors", "no entry point in a group microtome.KIND; it has none"),
    ],
)
def test_what_registers_nothing_is_not_found(invoke, package, found):
    done = invoke("check", package)
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith(f"check the package {package!r}\n  found: {found}\n")
