"""A harvest that is killed with SIGKILL at named points goes on, and ends in the store of one that never was."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from microtome.activations.store import open_store

HERE = Path(__file__).parent
HARVEST = """
import os, signal, sys
from pathlib import Path

import torch

folder, out, tests, here, point, count = sys.argv[1:]
sys.path[:0] = [tests, here]
torch.set_num_threads(1)

import microtome.activations.shards as shards
from conftest import made_texts
from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.model.model import Model
from microtome.model.opening import open

left = int(count)


def die():
    global left
    left -= 1
    if not left:
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


if point == "half a shard":
    def cut(tensors, path):
        save(tensors, path)
        if left == 1:
            Path(path).write_bytes(Path(path).read_bytes()[:999])
        die()
    save, shards.save_file = shards.save_file, cut
elif point == "a batch":
    Model.run = dying("", "after", Model.run)
elif point != "never":
    when, name = point.split(" naming ")
    Path.replace = dying(name, when, Path.replace)

config = HarvestConfig(context=24, batch_rows=4, shard_bytes=40_000, norm_limit=2.0)
harvest(open(folder, certify=False), made_texts(), ["resid.1", "mlp.neurons.0"], out=out, config=config)
"""
POINTS = [
    ("a batch", 1),
    ("a batch", 25),
    ("half a shard", 1),
    ("half a shard", 3),
    ("before naming shard", 2),
    ("after naming shard", 2),
    ("before naming manifest", 1),
    ("before naming manifest", 3),
    ("after naming manifest", 1),
    ("after naming manifest", 4),
]


def harvested(folder: Path, out: Path, point: str = "never", count: int = 1) -> int:
    command = [sys.executable, "-W", "ignore", "-c", HARVEST, str(folder), str(out)]
    command += [str(HERE.parents[1]), str(HERE), point, str(count)]
    return subprocess.run(command, check=False, capture_output=True, text=True).returncode


def contents(store: Path) -> dict[str, object]:
    manifest = json.loads((store / "manifest.json").read_text())
    return {"manifest": manifest, **{path.name: path.read_bytes() for path in store.glob("*.safetensors")}}


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory) -> dict[str, object]:
    out = tmp_path_factory.mktemp("whole") / "store"
    assert harvested(folder, out) == 0
    found = contents(out)
    assert len(found) > 5
    return found


def test_killed_again_and_again_it_ends_in_the_same_store(folder, whole, tmp_path):
    """One folder, killed at every point in turn."""
    out = tmp_path / "store"
    for point, count in POINTS:
        before = named(out)
        code = harvested(folder, out, point, count)
        assert code in (-signal.SIGKILL, 0), point
        for name, rows in before.items():  # nothing that was named is lost or changed
            assert torch.equal(named(out)[name], rows)
    assert harvested(folder, out) == 0
    assert contents(out) == whole
    assert sorted(path.name for path in out.iterdir()) == sorted(["manifest.json", *list(whole)[1:]])


@pytest.mark.parametrize("point, count", [POINTS[1], POINTS[3], POINTS[5], POINTS[7]])
def test_killed_once_at_a_point(folder, whole, tmp_path, point, count):
    out = tmp_path / "store"
    assert harvested(folder, out, point, count) == -signal.SIGKILL
    if (out / "manifest.json").exists():
        open_store(out).verify()
    assert harvested(folder, out) == 0
    assert contents(out) == whole


def named(out: Path) -> dict[str, torch.Tensor]:
    """Every row that the manifest names, by shard."""
    if not (out / "manifest.json").exists():
        return {}
    store = open_store(out)
    store.verify()
    return {shard.record.name: shard.coded("resid.1").decoded() for shard in store.shards}
