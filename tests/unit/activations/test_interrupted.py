"""A harvest that is killed with SIGKILL at named points goes on, and ends in the store of one that never was."""

import json
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from microtome.activations.store import open_store

HERE = Path(__file__).parent
HARVESTS = r"""
import json, os, shutil, signal, sys

folder, tests, here, jobs = sys.argv[1:]
del sys.argv[1:]  # a run card tells the command
sys.path[:0] = [tests, here]
os.environ["TOKENIZERS_PARALLELISM"] = "false"
import torch

torch.set_num_threads(1)
from pathlib import Path

import microtome.activations.shards as shards
from made_texts import made_texts
from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.model.model import Model
from microtome.model.opening import open

model = open(folder, certify=False)
left = 0


def die():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def dying(name, when, real):
    def act(self, *rest, **named):
        dies = name in str(rest[0] if rest else self)
        if dies and when == "before":
            die()
        done = real(self, *rest, **named)
        if dies and when == "after":
            die()
        return done

    return act


def cutting(real):
    def save(tensors, path):
        real(tensors, path)
        if left == 1:
            Path(path).write_bytes(Path(path).read_bytes()[:999])
        die()

    return save


def run(out, point, count):
    global left
    left = count
    if point == "half a shard":
        shards.save_file = cutting(shards.save_file)
    elif point == "a batch":
        Model.run = dying("", "after", Model.run)
    elif point != "never":
        when, name = point.split(" naming ")
        Path.replace = dying(name, when, Path.replace)
    config = HarvestConfig(context=24, batch_rows=4, shard_bytes=40_000, norm_limit=2.0)
    harvest(model, made_texts(), ["resid.1", "mlp.neurons.0"], out=out, config=config)


codes = []
for number, (out, point, count) in enumerate(json.loads(jobs)):
    child = os.fork()
    if child == 0:
        run(out, point, count)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    shutil.copytree(out, f"{out}.{number}") if os.path.exists(out) else os.mkdir(f"{out}.{number}")
print(json.dumps(codes))
"""
POINTS = [
    ("a batch", 3),
    ("half a shard", 1),
    ("before naming manifest", 1),
    ("after naming manifest", 1),
    ("a batch", 6),
    ("half a shard", 2),
    ("before naming shard", 2),
    ("after naming shard", 2),
    ("before naming manifest", 2),
    ("after naming manifest", 2),
]
NEVER = ("never", 0)


def harvested(folder: Path, *jobs: tuple[Path, str, int]) -> list[int]:
    """Runs harvests one after another, each in a process of its own; what each left is kept under its number."""
    told = json.dumps([(str(out), point, count) for out, point, count in jobs])
    command = [sys.executable, "-W", "ignore", "-c", HARVESTS, str(folder), str(HERE.parents[1]), str(HERE), told]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def contents(store: Path) -> dict[str, object]:
    manifest = json.loads((store / "manifest.json").read_text())
    return {"manifest.json": manifest, **{path.name: path.read_bytes() for path in store.glob("*.safetensors")}}


def named(store: Path) -> dict[str, torch.Tensor]:
    """Every row that the manifest names, by shard; each is whole."""
    if not (store / "manifest.json").exists():
        return {}
    opened = open_store(store)
    opened.verify()
    return {shard.record.name: shard.coded("resid.1").decoded() for shard in opened.shards}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "store"
    assert harvested(folder, (out, *NEVER)) == [0]
    found = contents(out)
    assert len(found) > 8
    return found


def test_killed_at_every_point_in_turn_it_ends_in_the_same_store(folder, whole, tmp_path):
    out = tmp_path / "store"
    codes = harvested(folder, *((out, *point) for point in POINTS), (out, *NEVER))
    assert codes == [*[-signal.SIGKILL] * len(POINTS), 0]
    held = [named(Path(f"{out}.{number}")) for number in range(len(codes))]
    assert sorted(map(len, held)) == list(map(len, held))
    assert len(held[0]) == 0 < len(held[-2]) < len(held[-1])
    for before, after in pairwise(held):
        for name, rows in before.items():  # nothing that was named is lost or changed
            assert torch.equal(after[name], rows)
    assert contents(out) == whole
    assert {path.name for path in out.iterdir()} == set(whole)


def test_killed_once_it_ends_in_the_same_store(folder, whole, tmp_path):
    points = POINTS[1::3]
    outs = [tmp_path / str(number) for number in range(len(points))]
    jobs = [job for out, point in zip(outs, points, strict=True) for job in ((out, *point), (out, *NEVER))]
    assert harvested(folder, *jobs) == [-signal.SIGKILL, 0] * len(points)
    for out in outs:
        assert contents(out) == whole
        shutil.rmtree(out)
