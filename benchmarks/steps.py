"""The same as `peers/saelens_steps.py`, for microtome: trains step by step as it is told on standard input."""

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from memory import CLEAR, resident

from microtome.dictionary.architecture import Moment
from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

SITE = "resid.0"


class Rows:
    """Batches of an array, in order, from the first again when all were given."""

    def __init__(self, data: torch.Tensor, sample: int):
        self.widths = {SITE: data.shape[1]}
        self.mean_squared_norms = {SITE: float(data[:sample].square().sum(1).mean())}
        self.card: dict[str, Any] = {}
        self._data, self._step = data, 0

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, torch.Tensor]:
        """The next rows."""
        start = self._step % (len(self._data) // size) * size
        self._step += 1
        return {site: self._data[start : start + size].clone() for site in sites}

    def state(self) -> dict[str, Any]:
        """How many batches were given."""
        return {"step": self._step}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on after so many."""
        self._step = state["step"]


def trainee(setup: dict[str, Any], rows: Rows) -> Trainee:
    """As `microtome.train` makes it, with the schedule that both sides share: a constant learning rate."""
    settings = {
        "topk": {"k": setup["k"]},
        "batchtopk": {"k": setup["k"]},
        "jumprelu": {"l0": setup["l0"], "threshold": setup["threshold"]},
    }
    one = job(
        site=SITE, architecture=setup["architecture"], units=setup["units"], lr=setup["lr"], warm_up="0%", decay="0%",
        ramp="0%", dead_after="100%", seed=setup["seed"], **settings[setup["architecture"]],
    )  # fmt: skip
    config = RunConfig(tokens=setup["batch"] * setup["total"], batch=setup["batch"])
    made = Trainee(one, Schedule(one.training, config), rows, torch.device("cpu"))
    made.begin(rows.batch(setup["batch"], [SITE]))
    rows.restore({"step": 0})
    return made


def evaluated(one: Trainee, held_out: torch.Tensor) -> dict[str, float]:
    """Unexplained variance and L0, as training chooses units: the peer's BatchTopK has no other way.

    A threshold that is a running mean over batches, as inference has it, needs some hundred steps to settle.
    """
    error, firing, moment = 0.0, 0, Moment(1.0, tuple(torch.zeros_like(gone) for gone in one.dead_blocks))
    for part in held_out.split(1024):
        x, y = one.rows({SITE: part})
        with torch.no_grad():
            outcome = one.dictionary.architecture.outcome(one.dictionary, x, y, moment)
        error += float((y - outcome.y_hat).square().sum()) / one.scales[SITE] ** 2
        firing += sum(int(active.firing.sum()) for active in outcome.active)
    total = float((held_out - held_out.mean(0)).square().sum())
    return {"unexplained": error / total, "l0": firing / len(held_out)}


def loaded(setup: dict[str, Any]) -> None:
    """Two steps of a tiny dictionary, which load and compile the code that a step runs."""
    rows = Rows(torch.randn(512, 16), 512)
    one = trainee(setup | {"units": 256, "k": 4, "batch": 64}, rows)
    for at in range(2):
        one.learn(rows.batch(64, [SITE]), at * 64)
    CLEAR.write_text("5")  # the peak begins anew: a compiler's is not a step's


def memory(kind: str) -> float:
    """Mebibytes: `VmRSS` now, `VmHWM` at most so far."""
    return resident(kind) / 2**20


def main() -> None:
    """Answers until standard input ends."""
    setup = json.loads(sys.argv[1])
    torch.set_num_threads(setup["threads"])
    data = torch.from_numpy(np.load(setup["data"]))  # in memory before anything is measured
    batch, held_out = setup["batch"], data[-setup["held_out"] :].clone()
    rows = Rows(data[: -setup["held_out"]], 65_536)
    one, step = trainee(setup, rows), 0
    bare = memory("VmRSS")
    loaded(setup)
    before = memory("VmRSS")
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        taken = []
        for _ in range(asked.get("steps", 0)):
            x = rows.batch(batch, [SITE])
            start = time.perf_counter()
            one.learn(x, step * batch)
            taken.append(time.perf_counter() - start)
            step += 1
        peak = memory("VmHWM")
        if asked.get("evaluate"):
            answer = evaluated(one, held_out)
        line = {"taken": taken, "step": step, "peak_mb": peak, "before_mb": before, "code_mb": before - bare}
        line |= answer
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
