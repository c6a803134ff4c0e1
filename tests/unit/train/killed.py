"""`python killed.py FOLDER POINT` begins the run of `small_runs` in a process of its own, and dies at that point."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from small_runs import RUN, SITES, two_jobs

from microtome.train import checkpoint, training
from planted_source import Planted

FOLDER, POINT = Path(sys.argv[1]), sys.argv[2]
SIGNALS = {"ctrl-c": signal.SIGINT, "terminated": signal.SIGTERM}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Dying(Planted):
    """Is hit in the middle of a step, when it is asked for the batch of that number."""

    asked = -1  # the first is taken to see how large rows are

    def batch(self, size: int, sites: Any) -> dict[str, torch.Tensor]:
        self.asked += 1
        if f"batch {self.asked}" == POINT:
            die()
        if POINT in SIGNALS and self.asked == 9:
            os.kill(os.getpid(), SIGNALS[POINT])
        return super().batch(size, sites)


def half_written(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """The second checkpoint is cut short."""
    if (FOLDER / checkpoint.FILE).exists():
        path.write_bytes(b"half a checkpoint")
        die()
    whole(tensors, path, metadata)


whole = checkpoint.save_file
torch.set_num_threads(1)
if POINT == "writing a checkpoint":
    checkpoint.save_file = half_written
if POINT == "writing dictionaries":
    training.save = lambda *_: die()
training.train_many(Dying(d=12, features=24, sites=SITES), two_jobs(), out=FOLDER, **RUN)
