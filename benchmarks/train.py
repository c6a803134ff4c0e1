"""Throughput of training beside sae-lens: same batches, sizes and learning rate, steps of both in turn.

python benchmarks/train.py [--peer .peers/saelens/bin/python] [--data rows.npy] [--architecture topk]

Without data, rows are planted: sums of a few of 2,048 directions about a mean, with noise.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import machine

HERE = Path(__file__).parent
BATCH, UNITS, K, WIDTH = 4096, 8192, 32, 576
HELD_OUT = 8192


def planted(path: Path, batches: int) -> Path:
    """Rows as an array file."""
    random = torch.Generator().manual_seed(0)
    truth, mean = torch.randn(2048, WIDTH, generator=random), torch.randn(WIDTH, generator=random)
    parts = []
    for _ in range(batches + HELD_OUT // BATCH):
        active = torch.randn(BATCH, 2048, generator=random).relu() * (torch.rand(BATCH, 2048, generator=random) < 0.01)
        parts.append(active @ truth + mean + 0.1 * torch.randn(BATCH, WIDTH, generator=random))
    np.save(path, torch.cat(parts).numpy())
    return path


class Side:
    """One side, in a process of its own, which waits while the other works."""

    def __init__(self, python: str, script: Path, setup: dict[str, Any]):
        command = [python, str(script), json.dumps(setup)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, **asked: Any) -> dict[str, Any]:
        """What it answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def product(width: int) -> float:
    """Seconds of the bf16 product of the encoder alone: what no step can be quicker than."""
    x, weights = torch.randn(BATCH, width).bfloat16(), torch.randn(UNITS, width).bfloat16()
    taken = []
    for _ in range(8):
        start = time.perf_counter()
        x @ weights.T
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Prints tokens a second of both sides, their ratio, and what both leave unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=".peers/saelens/bin/python")
    parser.add_argument("--data")
    parser.add_argument("--architecture", default="topk", choices=["topk", "batchtopk", "jumprelu"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of a round")
    parser.add_argument(
        "--more", type=int, default=0, help="steps of both after the rounds, before the last evaluation"
    )
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--l0", type=float, default=5.0, help="coefficient of JumpReLU's penalty")
    parser.add_argument("--autocast", action="store_true", help="let the peer use bf16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        total = given.rounds * given.steps + given.steps + given.more
        data = given.data or str(planted(Path(folder) / "rows.npy", total))
        setup = {
            "architecture": given.architecture, "units": UNITS, "k": K, "batch": BATCH, "lr": given.lr, "l0": given.l0,
            "threads": torch.get_num_threads(), "data": data, "held_out": HELD_OUT, "total": total,
            "autocast": given.autocast,
        }  # fmt: skip
        sides = {"microtome": Side(sys.executable, HERE / "steps.py", setup)}
        sides["sae-lens"] = Side(given.peer, HERE / "peers" / "saelens_steps.py", setup)
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for lap in range(given.rounds + 1):  # the first warms up, and compiles
            for name, side in sides.items():
                found = side(steps=given.steps)["taken"]
                taken[name] += found if lap else []
        alone = product(np.load(data, mmap_mode="r").shape[1])
        last = {name: side(steps=given.more, evaluate=True) for name, side in sides.items()}
    print(machine())
    print(f"{given.architecture}, d={WIDTH}, {UNITS} units, batch {BATCH}: medians of {len(taken['microtome'])} steps")
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    for name, one in seconds.items():
        end = last[name]
        print(
            f"{BATCH / one:9,.0f} tokens/s  {seconds['sae-lens'] / one:5.1f} x  {name}; after {end['step']} steps "
            f"unexplained {end['unexplained']:.4f}, L0 {end['l0']:.1f}, peak {end['peak_mb']:,.0f} MB"
        )
    part = alone / seconds["microtome"]
    print(f"{BATCH / alone:9,.0f} tokens/s  the encoder's bf16 product alone; microtome is at {part:.2f} of it")
    ours = last["microtome"]
    print(f"microtome's peak above what stood before the first step: {ours['peak_mb'] - ours['before_mb']:,.0f} MB")


if __name__ == "__main__":
    main()
