"""Runs so small that a test can wait for them, and the runs of which some are killed."""

from pathlib import Path
from typing import Any

import torch

from microtome.train.job import Job, job
from planted_source import Planted

SITES = ("mlp.in.0", "mlp.out.0")
# So short that the doctor would find them ill.
QUIET = dict.fromkeys(("dead_units", "dense_units", "shrinkage", "too_good"), "off")
RUN: dict[str, Any] = {
    "tokens": 6144, "batch": 256, "log_every": "12%", "checkpoint_every": "25%", "doctor": QUIET,
}  # fmt: skip


def two_jobs() -> list[Job]:
    """Everything that a checkpoint must hold: dead units, a threshold, resampling, unit lengths, two sites."""
    return [
        job("mlp.in.0", "batchtopk", 200, k=1, aux_k=8, dead_after="10%", resample_at=("40%", "70%"), name="one"),
        job(None, "jumprelu", 32, seed=3, reads="mlp.in.0", writes="mlp.out.0", decoder="unit", skip=True, name="two"),
    ]


def source() -> Planted:
    return Planted(d=12, features=24, sites=SITES)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a run left in its folder, by the job's name and the weight's."""
    from microtome.dictionary.saving import load

    found = {}
    for name in ("one", "two"):
        found |= {f"{name} {key}": value for key, value in load(folder / name).state_dict().items()}
    return found
