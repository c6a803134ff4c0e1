"""Seconds that plans predict for steps, a harvest and a run of training on this machine, beside what they take.

python benchmarks/plan.py
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from timing import machine

import microtome as mt
from microtome.activations.harvest import harvest
from microtome.data.corpus import corpus, corpus_of
from microtome.train.planning import Plan, plan
from microtome.train.training import train
from microtome.train.trial import step_seconds

STEPS = 7
LAYER, TOKENS, RUN = 15, 16_384, 512 * 4096
# So few tokens again and again make an ill dictionary; plans reckon without dead units.
QUIET = {"dead_after": "100%", "doctor": dict.fromkeys(("dead_units", "dense_units", "shrinkage", "too_good"), "off")}
# Sizes that are tried about as they are, and larger ones, of which a part is.
TRIED = (
    {"d": 576, "units": 8192, "k": 32, "batch": 4096},
    {"d": 256, "units": 16384, "k": 32, "batch": 2048},
    {"d": 1024, "units": 4096, "k": 64, "batch": 1024},
    {"d": 512, "units": 32768, "k": 16, "batch": 1024},
    {"d": 768, "units": 6144, "k": 48, "batch": 2048},
    {"d": 384, "units": 12288, "k": 24, "batch": 4096},
    {"d": 2048, "units": 4096, "k": 32, "batch": 1024},
    {"d": 576, "units": 4096, "k": 32, "batch": 2048},
    {"d": 128, "units": 2048, "k": 16, "batch": 4096},
)
LARGER = (
    {"d": 576, "units": 65536, "k": 32, "batch": 4096},
    {"d": 1024, "units": 32768, "k": 64, "batch": 4096},
    {"d": 2048, "units": 16384, "k": 32, "batch": 8192},
    {"d": 576, "units": 8192, "k": 32, "batch": 131072},
    {"d": 256, "units": 262144, "k": 32, "batch": 4096},
)


def harvested() -> None:
    """SmolLM2 to a layer in its middle, what lies on the disk being read before; then a dictionary of that."""
    model, site = mt.open("smollm2", certify=False), f"resid.{LAYER}"
    read = corpus_of(list(corpus("python-sources").first(200).documents()))
    parameters = sum(p.numel() for p in model.module.get_submodule("model.layers")[:LAYER].parameters())
    with tempfile.TemporaryDirectory() as folder:
        harvest(model, read, [site], tokens=TOKENS, out=Path(folder, "warm"))
        store = Path(folder, "store")
        beside(
            f"harvest of {TOKENS:,} tokens of SmolLM2 to layer {LAYER}",
            lambda: harvest(model, read, [site], tokens=TOKENS, out=store),
            lambda: plan("here", d=576, units=8192, distinct=TOKENS, parameters=parameters),
            "running the model",
        )
        rows = mt.open_store(store).below(10.0)
        beside(
            f"a run of {RUN:,} tokens, 8,192 units",
            lambda: train(rows, site=site, units=8192, k=32, tokens=RUN, out=Path(folder, "sae"), **QUIET),
            lambda: plan("here", d=576, units=8192, k=32, tokens=RUN),
        )


def stepped(case: dict[str, int]) -> None:
    """Steps of one size."""
    taken: list[float] = []
    beside(
        str(case), lambda: taken.append(step_seconds(**case, steps=STEPS)),
        lambda: plan("here", **case, tokens=case["batch"]), clock=lambda: taken[-1],
    )  # fmt: skip


def beside(
    name: str,
    work: Callable[[], object],
    planned: Callable[[], Plan],
    part: str | None = None,
    clock: Callable[[], float] | None = None,
) -> None:
    """Prints what something took beside what was predicted, or a part of that; the machine is tried before and after.

    Args:
        name: of it.
        work: what is timed, from its beginning to its end unless `clock` says what it took.
        planned: the plan of it.
        part: of the plan's seconds; all of them by default.
        clock: asked after the work.
    """
    before, start = planned(), time.perf_counter()
    work()
    took = time.perf_counter() - start if clock is None else clock()
    each = [one.cost.to_dict()["seconds"] for one in (before, planned())]
    said = statistics.mean(sum(one.values()) if part is None else one[part] for one in each)
    print(f"  {took:7.3f} s, predicted {said:7.3f} s, ratio {said / took:4.2f}: {name}", flush=True)


def main() -> None:
    """Each case in turn."""
    print(machine(), flush=True)
    for words, cases in (("steps, tried about as they are", TRIED), ("steps of which a part is tried", LARGER)):
        print(f"{words}:", flush=True)
        for case in cases:
            stepped(case)
    print("whole runs:", flush=True)
    harvested()


if __name__ == "__main__":
    main()
