"""Makes the induction heads that ship with microtome: `python recipes/make_algorithmic.py`, in a minute."""

import argparse
import time
from pathlib import Path

import torch

import microtome as mt
from microtome.toy.algorithmic.induction import InductionConfig
from microtome.toy.algorithmic.trained import SHIPPED, accuracy, attention, trained


def main() -> None:
    """Trains, saves, and says what each head does."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--steps", type=int, default=InductionConfig().steps)
    asked.add_argument("--out", type=Path, default=SHIPPED)
    given = asked.parse_args()
    torch.set_num_threads(1)  # sums are then always taken in one order
    began = time.process_time()
    made = trained(InductionConfig(steps=given.steps))
    print(f"{time.process_time() - began:.0f} seconds of one core")
    made.save(given.out, f"python recipes/make_algorithmic.py --steps {given.steps}")
    model, rows = made.open(), made.rows()
    print(f"accuracy {accuracy(model, rows):.3f}; {made.truth.roles}")
    looks = attention(model, rows)
    for layer in range(2):
        for head in range(made.config.heads):
            left = accuracy(model, rows, mt.ablate(f"attn.heads.{layer}", units=head))
            said = ", ".join(f"{name} {float(one[layer, head]):.3f}" for name, one in looks.items())
            print(f"head.{layer}.{head}: {said}; accuracy without it {left:.3f}")


if __name__ == "__main__":
    main()
