"""Seconds that plans predict for steps of training on this machine, beside what the steps take.

python benchmarks/plan.py
"""

import statistics
import time

import torch
from timing import machine

from microtome.train.config import RunConfig
from microtome.train.hardware import measured
from microtome.train.job import job
from microtome.train.planning import plan
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

SITE, STEPS = "resid.0", 7
CASES = (
    {"d": 576, "units": 8192, "k": 32, "batch": 4096},
    {"d": 256, "units": 16384, "k": 32, "batch": 2048},
    {"d": 1024, "units": 4096, "k": 64, "batch": 1024},
    {"d": 512, "units": 32768, "k": 16, "batch": 1024},
)


class Rows:
    """What a trainee asks of a source."""

    def __init__(self, d: int):
        self.widths, self.mean_squared_norms, self.card = {SITE: d}, {SITE: float(d)}, {}


def seconds(d: int, units: int, k: int, batch: int) -> float:
    """The median step, after two that warm up; no unit is dead."""
    one = job(site=SITE, units=units, k=k, dead_after="100%")
    trainee = Trainee(
        one, Schedule(one.training, RunConfig(tokens=100 * batch, batch=batch)), Rows(d), torch.device("cpu")
    )
    rows, taken = {SITE: torch.randn(batch, d, generator=torch.Generator().manual_seed(0))}, []
    for step in range(STEPS + 2):
        start = time.perf_counter()
        trainee.learn(rows, step * batch)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[2:])


def main() -> None:
    """Each case, with the machine measured anew beside it."""
    print(machine(), flush=True)
    for case in CASES:
        before, took, after = measured(), seconds(**case), measured()
        found = [plan(here, **case, tokens=case["batch"], dead=0.0).cost.total("seconds") for here in (before, after)]
        predicted = statistics.mean(found)
        print(f"  {took:7.3f} s, predicted {predicted:7.3f} s, ratio {predicted / took:4.2f}: {case}", flush=True)


if __name__ == "__main__":
    main()
