"""Throughput of training beside sae-lens: same batches, sizes and learning rate, steps of both in turn.

python benchmarks/train.py [--peer .peers/saelens/bin/python] [--architecture topk]
python benchmarks/train.py --store out/smollm2-saes/store --site resid.15 --more 472  # 2 million tokens on both sides

Rows are those of a store's site, without tokens over ten times the median norm, in random order, and again from the
first when all were learned from; held-out rows are of other documents. Without a store, rows are planted: sums of a few
of 2,048 directions about a mean, with noise. All are scaled alike so that E‖x‖² = d, for both sides. JumpReLU begins
with thresholds (`--threshold`) that leave under a hundred units active: from the usual 0.01 a run of this length never
gets there on either side, since thresholds alone bear the penalty.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timing import machine, medians

from microtome.activations.store import open_store
from microtome.dictionary.choosing import screened_in

HERE = Path(__file__).parent
BATCH, UNITS, K, WIDTH = 4096, 8192, 32, 576
HELD_OUT = 8192
NORM_LIMIT, HELD_OUT_SHARE = 10.0, 0.05


def stored(store: str, site: str, path: Path) -> None:
    """A store's rows as an array file; the last ones, which are held out, are of other documents."""
    learned, held_out = (part.below(NORM_LIMIT) for part in open_store(store).split(HELD_OUT_SHARE))
    made = np.lib.format.open_memmap(path, "w+", np.float32, (len(learned) + HELD_OUT, learned.widths[site]))
    order = torch.randperm(len(learned), generator=torch.Generator().manual_seed(0))
    for start in range(0, len(learned), BATCH):
        at = order[start : start + BATCH].sort().values
        made[start : start + len(at)] = learned.rows(site, at).numpy()
    some = torch.randperm(len(held_out), generator=torch.Generator().manual_seed(1))[:HELD_OUT]
    made[-HELD_OUT:] = held_out.rows(site, some.sort().values).numpy()
    made.flush()


def planted(path: Path, batches: int) -> None:
    """Rows as an array file."""
    random = torch.Generator().manual_seed(0)
    truth, mean = torch.randn(2048, WIDTH, generator=random), torch.randn(WIDTH, generator=random)
    parts = []
    for _ in range(batches + HELD_OUT // BATCH):
        active = torch.randn(BATCH, 2048, generator=random).relu() * (torch.rand(BATCH, 2048, generator=random) < 0.01)
        parts.append(active @ truth + mean + 0.1 * torch.randn(BATCH, WIDTH, generator=random))
    np.save(path, torch.cat(parts).numpy())


def scaled(path: Path, to: Path) -> str:
    """The same rows with E‖x‖² = d, as the held-out ones at the end have it."""
    rows = np.load(path, mmap_mode="r")
    by = float(np.sqrt(rows.shape[1] / np.square(rows[-HELD_OUT:]).sum(1).mean()))
    made = np.lib.format.open_memmap(to, "w+", np.float32, rows.shape)
    for start in range(0, len(rows), BATCH):
        made[start : start + BATCH] = rows[start : start + BATCH] * by
    made.flush()
    return str(to)


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


def product(width: int) -> tuple[float, float]:
    """Seconds of the product of the encoder alone, what no step can be quicker than: into new memory, and kept."""
    kind = screened_in(torch.device("cpu"))
    x, weights = torch.randn(BATCH, width).to(kind), torch.randn(UNITS, width).to(kind)
    kept = torch.empty(BATCH, UNITS, dtype=kind)
    found = medians({"new": lambda: x @ weights.T, "kept": lambda: torch.mm(x, weights.T, out=kept)})
    return found["new"], found["kept"]


def main() -> None:
    """Prints tokens a second of both sides, their ratio, and what both leave unexplained."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=".peers/saelens/bin/python")
    parser.add_argument("--store", help="a folder that `microtome harvest` made")
    parser.add_argument("--site", default="resid.15")
    parser.add_argument("--architecture", default="topk", choices=["topk", "batchtopk", "jumprelu"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="of a round")
    parser.add_argument(
        "--more", type=int, default=0, help="steps of both after the rounds, before the last evaluation"
    )
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--l0", type=float, default=5.0, help="coefficient of JumpReLU's penalty")
    parser.add_argument("--threshold", type=float, default=0.3, help="of JumpReLU at the start")
    parser.add_argument(
        "--also", nargs="*", default=[], metavar="SETTING=NUMBER",
        help="further runs of microtome, each with another seed=, l0= or threshold=: the noise of reseeding, one L0",
    )  # fmt: skip
    parser.add_argument("--autocast", action="store_true", help="let the peer use bf16")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        total = given.rounds * given.steps + given.steps + given.more
        rows = Path(folder) / "rows.npy"
        stored(given.store, given.site, rows) if given.store else planted(rows, total)
        data = scaled(rows, Path(folder) / "scaled.npy")
        setup = {
            "architecture": given.architecture, "units": UNITS, "k": K, "batch": BATCH, "lr": given.lr, "l0": given.l0,
            "threads": torch.get_num_threads(), "data": data, "held_out": HELD_OUT, "total": total,
            "autocast": given.autocast, "threshold": given.threshold, "seed": 0,
        }  # fmt: skip
        sides = {"microtome": Side(sys.executable, HERE / "steps.py", setup)}
        sides["sae-lens"] = Side(given.peer, HERE / "peers" / "saelens_steps.py", setup)
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for lap in range(given.rounds + 1):  # the first warms up, and compiles
            for name, side in sides.items():
                found = side(steps=given.steps)["taken"]
                taken[name] += found if lap else []
                print(f"{name}: {statistics.median(found):.3f} s a step", file=sys.stderr, flush=True)
        alone = product(np.load(data, mmap_mode="r").shape[1])
        last = {name: side(steps=given.more, evaluate=True) for name, side in sides.items()}
        whole = {name: sum(taken[name] + end["taken"]) for name, end in last.items()}
        ends = {}
        for other in given.also:
            name, _, value = other.partition("=")
            again = Side(sys.executable, HERE / "steps.py", setup | {name: json.loads(value)})
            ends[other] = again(steps=total, evaluate=True)
    told(given.architecture, taken, last, alone)
    for other, end in ends.items():
        print(f"microtome with {other}: unexplained {end['unexplained']:.4f}, L0 {end['l0']:.1f}")
    if given.more:
        ours, theirs = whole["microtome"], whole["sae-lens"]
        print(f"all steps but the first {given.steps}: {ours:,.0f} s and {theirs:,.0f} s, {theirs / ours:.1f} x")


def told(
    architecture: str, taken: dict[str, list[float]], last: dict[str, dict[str, Any]], alone: tuple[float, float]
) -> None:
    """Prints it."""
    print(machine())
    print(f"{architecture}, d={WIDTH}, {UNITS} units, batch {BATCH}: medians of {len(taken['microtome'])} steps")
    seconds = {name: statistics.median(times) for name, times in taken.items()}
    for name, one in seconds.items():
        end = last[name]
        print(
            f"{BATCH / one:9,.0f} tokens/s  {seconds['sae-lens'] / one:5.1f} x  {name}; after {end['step']} steps "
            f"unexplained {end['unexplained']:.4f}, L0 {end['l0']:.1f}, peak {end['peak_mb']:,.0f} MiB"
        )
    kind = str(screened_in(torch.device("cpu"))).removeprefix("torch.")
    for where, one in zip(("new memory", "memory that is kept"), alone, strict=True):
        said = f"the encoder's {kind} product alone, into {where}; microtome: {one / seconds['microtome']:.2f} of it"
        print(f"{BATCH / one:9,.0f} tokens/s  {said}")
    ours = last["microtome"]
    print(
        f"microtome's peak above what stood before the first step: {ours['peak_mb'] - ours['before_mb']:,.0f} MiB, "
        f"beside {ours['code_mb']:,.0f} MiB of code that a step loads"
    )


if __name__ == "__main__":
    main()
