"""`python layers_killed.py MODEL OUT POINT` trains transcoders of a tiny model, and dies at that point."""

import os
import signal
import sys
from typing import Any

import torch

from microtome.activations.stream import Stream
from microtome.model.model import Model
from microtome.model.opening import open as open_model
from microtome.train import transcoders

# Three steps a helping of texts, a checkpoint every two steps: most kills come where neither has just begun.
SETTINGS: dict[str, Any] = {
    "units": 24, "k": 3, "aux_k": 8, "tokens": 1024, "batch": 64, "buffer_rows": 288, "lr": 5e-3,
    "checkpoint_every": "128 tokens", "log_every": "128 tokens", "context": 24, "doctor": {"huge_tokens": "off"},
}  # fmt: skip


def texts() -> list[str]:
    words = ("the cat", " a mat", " sat", " the end", " on")
    return ["".join(words[(i * j) % 5] for j in range(1 + i % 17)) for i in range(60)]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_at(real: Any, number: int) -> Any:
    """A function that kills the process when it has been called so often."""
    calls = iter(range(1, 10_000))

    def act(*given: Any, **named: Any) -> Any:
        if next(calls) == number:
            die()
        return real(*given, **named)

    return act


if __name__ == "__main__":
    model, out, point, number = sys.argv[1:]
    torch.set_num_threads(1)
    match point:
        case "a batch":
            Stream.batch = dying_at(Stream.batch, int(number))
        case "the model":
            Model.run = dying_at(Model.run, int(number))
        case "the set":
            transcoders.save = dying_at(transcoders.save, 1)
        case "cleaning up":
            transcoders.shutil.rmtree = dying_at(transcoders.shutil.rmtree, 1)
    transcoders.train_transcoders(open_model(model, certify=False), texts(), out=out, **SETTINGS)
