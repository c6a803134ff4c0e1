"""What every metric promises, whoever wrote it: names, a docstring that warns, batches that do not matter, items.

Each family of metrics is fed with one set of random data. A metric of a new kind has to be given its feeder here.
"""

import inspect
import math
import re

import numpy as np
import pytest
import torch

from microtome.core.errors import WrongUse
from microtome.evidence import ratio_of_sums
from microtome.metrics import METRICS, HasItems, Metric
from microtome.metrics.absorption import AbsorptionFraction, AbsorptionFull
from microtome.metrics.codes import OfCodes
from microtome.metrics.cross_entropy import (
    CrossEntropyAdded,
    CrossEntropyRecoveredMean,
    CrossEntropyRecoveredZero,
)
from microtome.metrics.families import FamilyAbsorption, FamilySplitting
from microtome.metrics.reconstruction import OfReconstruction
from microtome.metrics.recovery import FalseUnits, MatchedCosine, RecoveredFraction, SplitFraction
from microtome.metrics.similarity import MeanMaxCosine, SharedFraction
from microtome.metrics.sparse_probing import SparseProbing

T, D, U, DOCUMENTS = 240, 6, 12, 24
ENTRIES = {entry.name: entry for entry in METRICS}
# They match, or count, all that comes together: two dictionaries are no large one.
MATCHING = {"shared_fraction", "matched_cosine", "recovered_fraction", "split_fraction"}


def data():
    draw = torch.Generator().manual_seed(0)
    x = 5 + torch.randn(T, D, generator=draw)
    dense = torch.randn(T, U, generator=draw).relu() * (torch.rand(T, U, generator=draw) < 0.3)
    items = torch.arange(T) % DOCUMENTS  # so that a batch holds parts of many documents
    loss = torch.rand(T, generator=draw)
    return x, x + 0.5 * torch.randn(T, D, generator=draw), dense, items, loss


X, X_HAT, DENSE, ITEMS, LOSS = data()


def codes(rows):
    part = DENSE[rows]
    token, ids = part.nonzero(as_tuple=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(token, minlength=len(part)).cumsum(0)])
    return ids, part[token, ids], offsets


def feeder(cls):
    """Makes an empty metric of this class, and feeds it with some of the data."""
    vectors = torch.randn(U, D, generator=torch.Generator().manual_seed(1))
    if issubclass(cls, OfReconstruction):
        return cls, lambda metric, rows: metric.add(X[rows], X_HAT[rows], ITEMS[rows])
    if issubclass(cls, OfCodes):
        return lambda: cls(U), lambda metric, rows: metric.add(*codes(rows), ITEMS[rows])
    if cls in (CrossEntropyRecoveredZero, CrossEntropyRecoveredMean):
        return cls, lambda metric, rows: metric.add(LOSS[rows], LOSS[rows] + 0.1, LOSS[rows] * 2 + 1, ITEMS[rows])
    if cls is CrossEntropyAdded:
        return cls, lambda metric, rows: metric.add(LOSS[rows], LOSS[rows] * 1.1, ITEMS[rows])
    if cls is SparseProbing:
        return lambda: cls(U), lambda metric, rows: metric.add(*codes(rows), ITEMS[rows], ITEMS[rows] % 2 == 0)
    if cls in (AbsorptionFull, AbsorptionFraction):
        mains = [torch.tensor([0]), torch.tensor([1, 2])]
        return (
            lambda: cls(vectors, torch.eye(2, D), mains),
            lambda metric, rows: metric.add(X[rows] - 4, *codes(rows), ITEMS[rows] % 2),
        )
    if cls is MeanMaxCosine:
        return cls, lambda metric, rows: metric.add(X[rows], vectors)
    if cls in (MatchedCosine, RecoveredFraction, FalseUnits, SplitFraction):
        return cls, lambda metric, rows: metric.add(vectors, X[rows])
    if cls in (FamilyAbsorption, FamilySplitting):  # the first feature is the second's parent
        family = torch.stack([X[:, 0] > 4.5, (X[:, 0] > 4.5) & (X[:, 1] > 5)], 1)
        silent = torch.stack([family[:, 0] & ~(family[:, 1] & (X[:, 2] > 5)), family[:, 1]], 1)
        return (
            lambda: cls(torch.eye(2, D), torch.tensor([-1, 0]), torch.eye(2, D)),
            lambda metric, rows: metric.add(family[rows], silent[rows]),
        )
    if cls is SharedFraction:
        return lambda: cls(0.2), lambda metric, rows: metric.add(X[rows], X[rows], vectors, vectors)
    raise AssertionError(f"{cls.__name__} has no feeder: write one")


def fed(cls, chunk=T, order=None):
    make, feed = feeder(cls)
    metric = make()
    for rows in (torch.arange(T) if order is None else order).split(chunk):
        feed(metric, rows)
    return metric


@pytest.fixture(params=ENTRIES)
def cls(request):
    return ENTRIES[request.param].value


def test_an_entry_says_what_it_is(cls):
    assert issubclass(cls, Metric)
    assert ENTRIES[cls.name].value is cls
    assert re.fullmatch(r"[a-z][a-z0-9_]*", cls.name)
    assert cls.better in ("higher", "lower", "closer", "neither")
    assert (cls.best is None) == (cls.better == "neither")
    assert cls.unit


def test_its_docstring_gives_unit_range_direction_and_warning(cls):
    text = " ".join(inspect.getdoc(cls).split())
    for other in re.findall(r"arnings of `(\w+)`", text):  # of one family, told once
        text += " ".join(inspect.getdoc(ENTRIES[other].value).split())
    assert all(word in text for word in ("Unit: ", "Range: ", "When it misleads:"))
    assert {"neither": "neither direction", "closer": "closer to 1"}.get(cls.better, cls.better) + " is better" in (
        text.lower()
    )


def test_a_value_is_a_plain_finite_float(cls):
    value = fed(cls).value()
    assert type(value) is float
    assert math.isfinite(value)


@pytest.mark.parametrize("chunk", [1, 7, 100])
@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in MATCHING])
def test_batches_do_not_matter(name, chunk):
    cls = ENTRIES[name].value
    assert fed(cls, chunk).value() == pytest.approx(fed(cls).value(), rel=1e-9, abs=1e-12)


def test_the_order_of_tokens_does_not_matter(cls):
    order = torch.randperm(T, generator=torch.Generator().manual_seed(2))
    assert fed(cls, order=order).value() == pytest.approx(fed(cls).value(), rel=1e-9, abs=1e-12)


def test_items_add_up_to_the_value(cls):
    metric = fed(cls)
    if not isinstance(metric, HasItems):
        assert cls.name in {"dead_fraction", "dense_fraction"}  # shares of units in a window, not sums over documents
        return
    items, above, below = metric.per_item()
    assert (above.dtype, below.dtype) == (np.float64, np.float64)
    assert (np.diff(items) > 0).all()
    assert ratio_of_sums(above, below, resamples=100).value == pytest.approx(metric.value(), rel=1e-9)


def test_asking_twice_gives_the_same_and_changes_nothing(cls):
    metric = fed(cls)
    first = metric.value()
    if isinstance(metric, HasItems):
        metric.per_item().numerators[:] = 0
    assert metric.value() == first


def test_nothing_added_is_an_error_that_names_it(cls):
    make, _ = feeder(cls)
    with pytest.raises(WrongUse, match="take the value of " + cls.name):
        make().value()
