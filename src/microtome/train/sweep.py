"""Sweeps: a dictionary for every combination of some settings, all from one pass over the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.settings import names
from microtome.train.tally import Reading
from microtome.train.training import Source, train_many


@dataclass(frozen=True, eq=False)
class Point:
    """One combination.

    Attributes:
        settings: in which it differs from the others.
        dictionary: as trained.
        reading: its last figures while it was trained.
    """

    settings: dict[str, Any]
    dictionary: Dictionary
    reading: Reading


def sweep(
    source: Source, over: Mapping[str, Sequence[Any]], *, out: str | Path | None = None,
    resume: bool = False, **settings: Any,
) -> list[Point]:  # fmt: skip
    """Trains a dictionary for every combination of settings, on the same batches.

    Args:
        source: see `train`.
        over: values by setting, such as `{"k": (16, 32), "units": (4096, 8192)}`: whatever differs between jobs.
        out, resume: see `train_many`.
        settings: what is the same in all: see `train`.

    Raises:
        WrongUse: a setting of the whole pass, such as `tokens`, is to vary, or values are no list; or as `train`.
    """
    for name, values in over.items():
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            do = f"give values of {name} as a list, such as (16, 32)"
            raise WrongUse("sweep over settings", found=f"{name} = {values!r}", do=do)
    shared = {name: value for name, value in settings.items() if name in names(RunConfig)}
    if wrong := sorted(set(over) & {*names(RunConfig), "name"}):
        raise WrongUse(
            "sweep over settings", found=f"{', '.join(wrong)}, which one pass over the data has once",
            do="sweep over settings of a dictionary, and repeat the sweep for the others",
        )  # fmt: skip
    common = {name: value for name, value in settings.items() if name not in shared}
    grid = [dict(zip(over, values, strict=True)) for values in product(*over.values())]
    jobs = [job(**common, **point, name=_name(point)) for point in grid]
    made = train_many(source, jobs, out=out, resume=resume, **shared)
    return [Point(point, one, _last(one)) for point, one in zip(grid, made, strict=True)]


def _name(point: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={str(value).replace('/', '-')}" for name, value in point.items())


def _last(dictionary: Dictionary) -> Reading:
    assert dictionary.card is not None
    return Reading.from_dict(dictionary.card.config["final"])
