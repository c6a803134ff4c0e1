"""A few steps of training on this machine, timed: what a plan's rates, each measured alone, are held to."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee

SITE, WARM_UP = "resid.0", 2


@dataclass(frozen=True)
class Noise:
    """Normal numbers of one width, as a `BatchSource`.

    Attributes:
        d: the width.
    """

    d: int

    @property
    def widths(self) -> Mapping[str, int]:
        """Of the one site."""
        return {SITE: self.d}

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² there."""
        return {SITE: float(self.d)}

    @property
    def card(self) -> dict[str, Any]:
        """Nothing to say of it."""
        return {}

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Tensor]:
        """The same at every call."""
        return {site: torch.randn(size, self.d, generator=torch.Generator().manual_seed(0)) for site in sites}

    def state(self) -> dict[str, Any]:
        """None."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to go on from."""


def step_seconds(d: int, units: int, k: int, batch: int, steps: int = 3) -> float:
    """The median step of a TopK dictionary, after two that warm up; no unit is dead."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = Noise(d)
    one = job(site=SITE, units=units, k=k, dead_after="100%")
    schedule = Schedule(one.training, RunConfig(tokens=100 * batch, batch=batch))
    trainee = Trainee(one, schedule, source, device)
    rows = {site: x.to(device) for site, x in source.batch(batch, [SITE]).items()}
    taken = []
    for step in range(WARM_UP + steps):
        start = time.perf_counter()
        trainee.learn(rows, step * batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[WARM_UP:])
