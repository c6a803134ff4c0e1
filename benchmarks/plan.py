"""Seconds that plans predict for steps of training and a harvest on this machine, beside what they take.

python benchmarks/plan.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from timing import machine

import microtome as mt
from microtome.activations.harvest import harvest
from microtome.data.corpus import corpus, corpus_of
from microtome.train.config import RunConfig
from microtome.train.hardware import Hardware, measured
from microtome.train.job import job
from microtome.train.planning import plan
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

SITE, STEPS = "resid.0", 7
LAYER, TOKENS = 15, 16_384
# Sizes that the plan's constants were fitted to, and others that they were not.
FITTED = (
    {"d": 576, "units": 8192, "k": 32, "batch": 4096},
    {"d": 256, "units": 16384, "k": 32, "batch": 2048},
    {"d": 1024, "units": 4096, "k": 64, "batch": 1024},
    {"d": 512, "units": 32768, "k": 16, "batch": 1024},
)
OTHERS = (
    {"d": 768, "units": 6144, "k": 48, "batch": 2048},
    {"d": 384, "units": 12288, "k": 24, "batch": 4096},
    {"d": 2048, "units": 4096, "k": 32, "batch": 1024},
    {"d": 576, "units": 4096, "k": 32, "batch": 2048},
    {"d": 128, "units": 2048, "k": 16, "batch": 4096},
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


def harvested() -> None:
    """SmolLM2 to a layer in its middle; what lies on the disk is read before."""
    model = mt.open("smollm2", certify=False)
    read = corpus_of(list(corpus("python-sources").first(200).documents()))
    parameters = sum(p.numel() for p in model.module.get_submodule("model.layers")[:LAYER].parameters())

    def took() -> float:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            harvest(model, read, [f"resid.{LAYER}"], tokens=TOKENS, out=Path(folder, "store"))
            return time.perf_counter() - start

    def predicted(here: Hardware) -> float:
        made = plan(here, d=576, units=8192, distinct=TOKENS, parameters=parameters)
        return made.cost.to_dict()["seconds"]["running the model"]

    took()
    beside(f"harvest of {TOKENS:,} tokens of SmolLM2 to layer {LAYER}", took, lambda: measured(576), predicted)


def trained(case: dict[str, int]) -> None:
    """Steps of one size."""
    beside(
        str(case),
        lambda: seconds(**case),
        lambda: measured(case["d"], case["units"], case["k"]),
        lambda here: plan(here, **case, tokens=case["batch"]).cost.total("seconds"),
    )


def beside(
    name: str, took: Callable[[], float], machine_now: Callable[[], Hardware], predicted: Callable[[Hardware], float]
) -> None:
    """Prints what something took beside what was predicted; the machine is measured before and after it."""
    before, found, after = machine_now(), took(), machine_now()
    said = statistics.mean([predicted(before), predicted(after)])
    print(f"  {found:7.3f} s, predicted {said:7.3f} s, ratio {said / found:4.2f}: {name}", flush=True)


def main() -> None:
    """Each case in turn."""
    print(machine(), flush=True)
    for words, cases in (("fitted to", FITTED), ("others", OTHERS)):
        print(f"{words}:", flush=True)
        for case in cases:
            trained(case)
        if cases is FITTED:
            harvested()


if __name__ == "__main__":
    main()
