"""Seconds of a step of TopK while some of the units are dead, and are revived: steps of each case in turn.

python benchmarks/dead.py [--dead 0 100 800 3000] [--rounds 7]
"""

import argparse

import torch
from timing import machine, medians

from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee
from microtome.train.trial import SITE, Noise

BATCH, UNITS, K, WIDTH = 4096, 8192, 32, 576


def main() -> None:
    """A dictionary for all cases, whose units are called dead before each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dead", type=int, nargs="+", default=[0, 100, 800, 3000])
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    source, one = Noise(WIDTH), job(site=SITE, units=UNITS, k=K)
    schedule = Schedule(one.training, RunConfig(tokens=1000 * BATCH, batch=BATCH))
    trainee, rows = Trainee(one, schedule, source, torch.device("cpu")), source.batch(BATCH, [SITE])

    def step(dead: int) -> None:
        trainee.since.zero_()
        trainee.since[:dead] = schedule.dead_after + 1
        trainee.learn(rows, 0)

    taken = medians({f"{dead:,}": lambda dead=dead: step(dead) for dead in asked.dead}, asked.rounds)
    print(machine())
    print(f"topk, d={WIDTH}, {UNITS} units, k={K}, batch {BATCH}: medians of {asked.rounds} steps")
    for dead, seconds in taken.items():
        print(f"{seconds:8.3f} s   {seconds / min(taken.values()):4.2f} ×   {dead} dead")


if __name__ == "__main__":
    main()
