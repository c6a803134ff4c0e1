"""Bytes that some steps of training take above what the process had before: run in a process of its own."""

import json
import sys
from pathlib import Path

import torch

from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

STEPS = 3
SITE = "resid.0"


class Rows:
    """What a trainee asks of a source."""

    def __init__(self, d: int):
        self.widths, self.mean_squared_norms, self.card = {SITE: d}, {SITE: float(d)}, {}


def steps(d: int, units: int, k: int, batch: int, aux_k: int, dead: float) -> None:
    """A few, with this share of the units dead from the second step on."""
    one = job(site=SITE, units=units, k=k, aux_k=aux_k, dead_after="50%")
    config = RunConfig(tokens=100 * batch, batch=batch)
    trainee = Trainee(one, Schedule(one.training, config), Rows(d), torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        trainee.learn({SITE: torch.randn(batch, d, generator=random)}, step * batch)
        trainee.since[: round(dead * units)] = 99 * batch


def told(name: str) -> int:
    """Bytes that the kernel tells: `VmRSS` is in memory now, `VmHWM` was at most, of this program alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    given = json.loads(sys.argv[1])
    steps(**given | {"d": 16, "units": 256, "k": 4, "batch": 32, "aux_k": min(given["aux_k"], 8)})
    before = told("VmRSS")
    steps(**given)
    print(told("VmHWM") - before)
