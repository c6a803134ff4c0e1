"""Makes the networks held to programs that ship: `python recipes/make_interchange.py`, in ten minutes of one core."""

import argparse
import time
from pathlib import Path

import torch

from microtome.toy.interchange.held import HELD, SHIPPED, agreement, trained
from microtome.toy.interchange.learning import InterchangeConfig


def main() -> None:
    """Trains, saves, and says how far each is held."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("programs", nargs="*", help=f"of these: {' '.join(HELD)}")
    asked.add_argument("--steps", type=int, default=InterchangeConfig("xor").steps)
    asked.add_argument("--pairs", type=int, default=InterchangeConfig("xor").pairs)
    asked.add_argument("--out", type=Path, default=SHIPPED)
    given = asked.parse_args()
    torch.set_num_threads(1)  # sums are then always taken in one order
    for place, name in enumerate(HELD):
        if given.programs and name not in given.programs:
            continue
        began = time.process_time()
        made = trained(InterchangeConfig(name, steps=given.steps, pairs=given.pairs, seed=place))
        made.save(given.out / name, f"python recipes/make_interchange.py {name} --steps {given.steps}")
        found = ", ".join(f"{node} {share:.3f}" for node, share in agreement(made, made.open()).items())
        print(
            f"{name}: {time.process_time() - began:.0f} seconds of one core; right with what is interchanged: {found}"
        )


if __name__ == "__main__":
    main()
