"""What a metric is: an accumulator with a name, a unit and a direction. `METRICS` names them all."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from microtome.core.registry import Registry

# `closer`: the nearer to `best`, the better. `neither`: it describes, and is read beside other figures.
Better = Literal["higher", "lower", "closer", "neither"]


class PerItem(NamedTuple):
    """What each independent item (a document, a class, a unit) gives to a ratio of sums.

    `evidence.ratio_of_sums(numerators, denominators)` gives the metric's value, with its interval.
    """

    items: Int[np.ndarray, " i"]
    numerators: Float[np.ndarray, " i"]
    denominators: Float[np.ndarray, " i"]


class Metric(ABC):
    """An estimator that is fed in batches, however they are cut, and divides once, at the end.

    Attributes:
        name: as it stands in tables and files.
        unit: what the value is measured in.
        better: the good direction.
        best: the value of a perfect score, or None where there is none.
    """

    name: str
    unit: str
    better: Better
    best: float | None

    @abstractmethod
    def value(self) -> float:
        """The estimate over all that was added."""


@runtime_checkable
class HasItems(Protocol):
    """The ability to say what each item gives; a metric that lacks it has no interval over items."""

    def per_item(self) -> PerItem:
        """Items in rising order, with their numerators and denominators."""
        ...


METRICS: Registry[type[Metric]] = Registry("metric", folder="microtome.metrics")

Kind = TypeVar("Kind", bound=type[Metric])


def metric(*, summary: str) -> Callable[[Kind], Kind]:
    """Registers a class of metrics under its own name."""

    def decorate(cls: Kind) -> Kind:
        METRICS.add(cls.name, cls, summary=summary, home=cls.__module__)
        return cls

    return decorate
