"""Random data for metrics, one set for all, and how each kind of metric is fed with some of its rows."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import NotSupported
from microtome.metrics.absorption import AbsorptionFraction, AbsorptionFull
from microtome.metrics.codes import OfCodes
from microtome.metrics.cross_entropy import CrossEntropyAdded, CrossEntropyRecoveredMean, CrossEntropyRecoveredZero
from microtome.metrics.families import FamilyAbsorption, FamilySplitting
from microtome.metrics.metric import Metric
from microtome.metrics.reconstruction import OfReconstruction
from microtome.metrics.recovery import FalseUnits, MatchedCosine, RecoveredFraction, SplitFraction
from microtome.metrics.similarity import MeanMaxCosine, SharedFraction
from microtome.metrics.sparse_probing import SparseProbing

T, D, U, DOCUMENTS = 240, 6, 12, 24
Rows = Int[Tensor, "n"]
Feed = Callable[[Any, Rows], None]


class Data:
    """Activations, reconstructions, codes, documents and losses of T tokens."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        self.x = 5 + torch.randn(T, D, generator=draw)
        self.dense = torch.randn(T, U, generator=draw).relu() * (torch.rand(T, U, generator=draw) < 0.3)
        self.items = torch.arange(T) % DOCUMENTS  # so that a batch holds parts of many documents
        self.loss = torch.rand(T, generator=draw)
        self.x_hat = self.x + 0.5 * torch.randn(T, D, generator=draw)
        self.vectors = torch.randn(U, D, generator=torch.Generator().manual_seed(1))

    def codes(self, rows: Rows) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], Int[Tensor, "o"]]:
        """Ids, values and offsets of some tokens."""
        part = self.dense[rows]
        token, ids = part.nonzero(as_tuple=True)
        counts = torch.bincount(token, minlength=len(part)).cumsum(0)
        return ids, part[token, ids], torch.cat([torch.zeros(1, dtype=torch.int64), counts])


def feeder(cls: type[Metric]) -> tuple[Callable[[], Metric], Feed]:
    """Makes an empty metric of this class, and feeds it with some of the data.

    Raises:
        NotSupported: it is fed with something else.
    """
    data = Data()
    for kinds, made in FEEDERS:
        if issubclass(cls, kinds):
            return made(cls, data)
    raise NotSupported(
        f"feed the metric {cls.__name__}", found="a metric of neither reconstructions nor codes",
        do="make it a subclass of OfReconstruction or of OfCodes; others are not fed here",
    )  # fmt: skip


def _of_reconstruction(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    return cls, lambda metric, rows: metric.add(data.x[rows], data.x_hat[rows], data.items[rows])


def _of_codes(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    return lambda: cls(U), lambda metric, rows: metric.add(*data.codes(rows), data.items[rows])


def _recovered(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    loss = data.loss
    return cls, lambda metric, rows: metric.add(loss[rows], loss[rows] + 0.1, loss[rows] * 2 + 1, data.items[rows])


def _added(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    return cls, lambda metric, rows: metric.add(data.loss[rows], data.loss[rows] * 1.1, data.items[rows])


def _probing(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    def feed(metric: Any, rows: Rows) -> None:
        metric.add(*data.codes(rows), data.items[rows], data.items[rows] % 2 == 0)

    return lambda: cls(U), feed


def _absorption(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    mains = [torch.tensor([0]), torch.tensor([1, 2])]
    return (
        lambda: cls(data.vectors, torch.eye(2, D), mains),
        lambda metric, rows: metric.add(data.x[rows] - 4, *data.codes(rows), data.items[rows] % 2),
    )


def _families(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    """The first feature is the second's parent."""
    x = data.x
    family = torch.stack([x[:, 0] > 4.5, (x[:, 0] > 4.5) & (x[:, 1] > 5)], 1)
    silent = torch.stack([family[:, 0] & ~(family[:, 1] & (x[:, 2] > 5)), family[:, 1]], 1)
    return (
        lambda: cls(torch.eye(2, D), torch.tensor([-1, 0]), torch.eye(2, D)),
        lambda metric, rows: metric.add(family[rows], silent[rows]),
    )


def _cosines(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    return cls, lambda metric, rows: metric.add(data.x[rows], data.vectors)


def _recovery(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    return cls, lambda metric, rows: metric.add(data.vectors, data.x[rows])


def _shared(cls: Any, data: Data) -> tuple[Callable[[], Metric], Feed]:
    x, vectors = data.x, data.vectors
    return lambda: cls(0.2), lambda metric, rows: metric.add(x[rows], x[rows], vectors, vectors)


FEEDERS: tuple[tuple[tuple[type, ...], Callable[[Any, Data], tuple[Callable[[], Metric], Feed]]], ...] = (
    ((SparseProbing,), _probing),
    ((AbsorptionFull, AbsorptionFraction), _absorption),
    ((OfReconstruction,), _of_reconstruction),
    ((OfCodes,), _of_codes),
    ((CrossEntropyRecoveredZero, CrossEntropyRecoveredMean), _recovered),
    ((CrossEntropyAdded,), _added),
    ((MeanMaxCosine,), _cosines),
    ((MatchedCosine, RecoveredFraction, FalseUnits, SplitFraction), _recovery),
    ((FamilyAbsorption, FamilySplitting), _families),
    ((SharedFraction,), _shared),
)
"""By class, the most particular first."""
