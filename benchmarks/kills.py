"""Kills a harvest and a training run with SIGKILL at random moments, twenty times each, and goes on after each.

python benchmarks/kills.py

Both are of `tiny` over Python's own sources. What they end in is compared with what an undisturbed run made, number by
number; after each kill, every row that the store's manifest names must be whole, and equal to the undisturbed one's.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from timing import machine

from microtome.activations.store import open_store
from microtome.dictionary.saving import load

READY = "ready"
TOKENS, SITE = 20_000, "resid.2"
START = f"import torch, microtome as mt; torch.set_num_threads(1); print({READY!r}, flush=True); "
HARVEST = (
    START + "from microtome.activations.config import HarvestConfig; "
    f"mt.harvest(mt.open('tiny', certify=False), 'python-sources', ['{SITE}'], tokens={TOKENS}, out={{out!r}}, "
    "config=HarvestConfig(shard_bytes=200_000))"
)
TRAINING = (
    START + "from microtome.activations.store import open_store; "
    f"mt.train(open_store({{store!r}}), site='{SITE}', units=1024, k=16, tokens=400_000, batch=1024, "
    "out={out!r}, resume=True, checkpoint_every='2%', doctor={{'dead_units': 'warn', 'dense_units': 'off'}})"
)


def run(program: str, seconds: float | None = None) -> float:
    """Runs a program to its end, or for so long after it is ready; returns how long that was."""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == READY
    start = time.perf_counter()
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    else:
        assert code == 0, f"exit code {code}"
    return time.perf_counter() - start


def rows(store: Path) -> dict[str, torch.Tensor]:
    """What the manifest names, by shard; each shard is held against its checksum first."""
    if not (store / "manifest.json").exists():
        return {}
    opened = open_store(store)
    opened.verify()
    return {shard.record.name: shard.coded(SITE).decoded() for shard in opened.shards}


def harvests(folder: Path, kills: int, moments: random.Random) -> None:
    """One harvest after another, each killed once and gone on with."""
    whole = folder / "whole"
    length, held = run(HARVEST.format(out=str(whole))), []
    expected = rows(whole)
    for number in range(kills):
        out = folder / f"killed-{number}"
        run(HARVEST.format(out=str(out)), moments.uniform(0, length))
        left = rows(out)
        held.append(len(left))
        assert all(torch.equal(expected[name], one) for name, one in left.items())
        run(HARVEST.format(out=str(out)))
        found = rows(out)
        assert found.keys() == expected.keys()
        assert all(torch.equal(expected[name], one) for name, one in found.items())
    print(
        f"harvest: {kills} kills within {length:.1f} s; {min(held)} to {max(held)} of {len(expected)} shards were "
        f"there; all {kills} stores ended equal",
        flush=True,
    )


def trainings(folder: Path, kills: int, moments: random.Random) -> None:
    """One run after another, each killed once and gone on with."""
    store, begun = str(folder / "whole"), 0
    length = run(TRAINING.format(store=store, out=str(folder / "trained")))
    expected = load(folder / "trained").state_dict()
    for number in range(kills):
        out = folder / f"trained-{number}"
        run(TRAINING.format(store=store, out=str(out)), moments.uniform(0, length))
        begun += any(out.glob("checkpoint*"))
        run(TRAINING.format(store=store, out=str(out)))
        found = load(out).state_dict()
        assert all(torch.equal(expected[name], one) for name, one in found.items())
    print(
        f"training: {kills} kills within {length:.1f} s, {begun} of them after a first checkpoint; "
        f"all {kills} dictionaries ended equal bit for bit",
        flush=True,
    )


def main() -> None:
    """Prints a line for each; stops at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(machine(), flush=True)
    moments = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        harvests(Path(folder), given.kills, moments)
        trainings(Path(folder), given.kills, moments)


if __name__ == "__main__":
    main()
