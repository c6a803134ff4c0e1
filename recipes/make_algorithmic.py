"""Makes the trained networks that ship: `python recipes/make_algorithmic.py`, in five minutes of one core."""

import argparse
import time
from pathlib import Path

import torch

import microtome as mt
from microtome.toy.algorithmic import addition, trained
from microtome.toy.algorithmic.fourier import embedding_power, logit_power
from microtome.toy.algorithmic.induction import InductionConfig
from microtome.toy.algorithmic.modular import FIRST, ModularConfig


def main() -> None:
    """Trains, saves, and says what each part does."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--only", choices=["induction", "addition"])
    asked.add_argument("--steps", type=int, help="fewer than it takes to learn it")
    asked.add_argument("--out", type=Path, default=trained.SHIPPED.parent)
    given = asked.parse_args()
    torch.set_num_threads(1)  # sums are then always taken in one order
    for name, make in {"induction": induction, "addition": modular}.items():
        if given.only in (None, name):
            began = time.process_time()
            make({} if given.steps is None else {"steps": given.steps}, given.out / name)
            print(f"{name}: {time.process_time() - began:.0f} seconds of one core")


def induction(settings: dict[str, int], out: Path) -> None:
    """Two layers of attention that go on with what comes a second time."""
    made = trained.trained(InductionConfig.from_dict(settings))
    made.save(out, "python recipes/make_algorithmic.py --only induction")
    model, rows = made.open(), made.rows()
    print(f"accuracy {trained.accuracy(model, rows):.3f}; {made.truth.roles}")
    looks = trained.attention(model, rows)
    for layer in range(2):
        for head in range(made.config.heads):
            left = trained.accuracy(model, rows, mt.ablate(f"attn.heads.{layer}", units=head))
            said = ", ".join(f"{name} {float(one[layer, head]):.3f}" for name, one in looks.items())
            print(f"head.{layer}.{head}: {said}; accuracy without it {left:.3f}")


def modular(settings: dict[str, int], out: Path) -> None:
    """One layer that adds modulo 59."""
    made = addition.trained(ModularConfig.from_dict(settings))
    made.save(out, "python recipes/make_algorithmic.py --only addition")
    model, known, p = made.open(), made.sums, made.config.modulus
    right = addition.answered(model, known) == known.answers
    print(f"accuracy {right[known.seen].float().mean():.4f} seen, {right[known.unseen].float().mean():.4f} unseen")
    table = made.module.transformer.wte.weight[FIRST : FIRST + p]
    logits = model.run(known.ids.tolist(), ["logits"])["logits"][:, -1, FIRST : FIRST + p].reshape(p, p, p)
    for k, (put, said) in enumerate(zip(embedding_power(table), logit_power(logits), strict=True), 1):
        if max(put, said) > 0.02:
            print(f"frequency {k}: {put:.3f} of embeddings, {said:.3f} of logits")


if __name__ == "__main__":
    main()
