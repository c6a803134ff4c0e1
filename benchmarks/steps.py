"""The same as `peers/saelens_steps.py`, for microtome: trains step by step as it is told on standard input."""

import json
import resource
import sys
import time
from typing import Any

import numpy as np
import torch

from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

SITE = "resid.0"


class Rows:
    """Batches of an array, in order."""

    def __init__(self, data: torch.Tensor, sample: int):
        self.widths = {SITE: data.shape[1]}
        self.mean_squared_norms = {SITE: float(data[:sample].square().sum(1).mean())}
        self.card: dict[str, Any] = {}

    def batch(self, size: int, sites: Any) -> dict[str, torch.Tensor]:
        """Nobody asks: batches are handed to the trainee."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """There is none."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def trainee(setup: dict[str, Any], data: torch.Tensor) -> Trainee:
    """As `microtome.train` makes it, with the schedule that both sides share: a constant learning rate."""
    settings = {"topk": {"k": setup["k"]}, "batchtopk": {"k": setup["k"]}, "jumprelu": {"l0": setup["l0"]}}
    one = job(
        site=SITE, architecture=setup["architecture"], units=setup["units"], lr=setup["lr"], warm_up="0%", decay="0%",
        ramp="0%", dead_after="100%", **settings[setup["architecture"]],
    )  # fmt: skip
    config = RunConfig(tokens=setup["batch"] * setup["total"], batch=setup["batch"])
    made = Trainee(one, Schedule(one.training, config), Rows(data, 65_536), torch.device("cpu"))
    made.begin({SITE: data[: setup["batch"]]})
    return made


def main() -> None:
    """Answers until standard input ends."""
    setup = json.loads(sys.argv[1])
    torch.set_num_threads(setup["threads"])
    data = torch.from_numpy(np.load(setup["data"], mmap_mode="r+"))
    batch, held_out = setup["batch"], data[-setup["held_out"] :].clone()
    training = (len(data) - setup["held_out"]) // batch
    one, step = trainee(setup, data), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for line in sys.stdin:
        asked, answer = json.loads(line), {}
        taken = []
        for _ in range(asked.get("steps", 0)):
            x = data[(step % training) * batch :][:batch].clone()
            start = time.perf_counter()
            one.learn({SITE: x}, step * batch)
            taken.append(time.perf_counter() - start)
            step += 1
        if asked.get("evaluate"):
            made = one.finished()
            error = float((held_out - made.reconstruct(held_out)).square().sum())
            total = float((held_out - held_out.mean(0)).square().sum())
            answer = {"unexplained": error / total, "l0": len(made.encode(held_out).ids) / len(held_out)}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = {"taken": taken, "step": step, "peak_mb": peak, "before_mb": before, **answer}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
