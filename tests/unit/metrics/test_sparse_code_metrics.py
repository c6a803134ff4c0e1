"""L0, L1, density, dead and dense units, on a table of codes that can be counted by eye.

One token has no active unit, one unit never fires, one is negative (a neuron may be) and one stored value is zero:
each is dropped or counted wrongly by some plausible code.
"""

import math

import pytest
import torch
from sparse_codes import compressed

from microtome.core.errors import WrongUse
from microtome.metrics.codes import active
from microtome.metrics.firing import DeadFraction, DenseFraction, Density
from microtome.metrics.sparsity import L0, L1
from unchecked import unchecked

CODES = [
    [1.0, 0.0, 0.0, 4.0],
    [2.0, 0.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 0.0],
    [3.0, 0.0, 0.0, 0.0],
    [5.0, 0.0, -2.0, 0.0],
]  # fired: 4, 0, 1, 1 of 5 tokens
UNITS = 4


def given(metric, codes=CODES, chunk=5, items=None):
    for start in range(0, len(codes), chunk):
        part = None if items is None else torch.tensor(items[start : start + chunk])
        metric.add(*compressed(codes[start : start + chunk]), items=part)
    return metric


EXPECTED = [
    (lambda: L0(UNITS), 6 / 5),
    (lambda: L1(UNITS), 17 / 5),
    (lambda: Density(UNITS), 6 / 20),
    (lambda: DeadFraction(UNITS), 1 / 4),
    (lambda: DenseFraction(UNITS), 3 / 4),
    (lambda: DenseFraction(UNITS, above=0.2), 1 / 4),  # 1 of 5 is not above a fifth
]


@pytest.mark.parametrize("chunk", [1, 2, 5])
@pytest.mark.parametrize("make, expected", EXPECTED)
def test_counts_match_the_table_however_it_is_cut(make, expected, chunk):
    assert given(make(), chunk=chunk).value() == pytest.approx(expected, rel=1e-12)


def test_a_stored_zero_is_not_active():
    ids, values, offsets = torch.tensor([0, 1]), torch.tensor([0.0, 3.0]), torch.tensor([0, 2])
    for metric, expected in [(L0(2), 1.0), (L1(2), 3.0), (Density(2), 0.5), (DeadFraction(2), 0.5)]:
        metric.add(ids, values, offsets)
        assert metric.value() == expected


@pytest.mark.parametrize(
    "wrong",
    [
        lambda codes: (codes > 0).sum() / len(codes),
        lambda codes: (codes != 0).sum() / (codes != 0).any(1).sum(),
        lambda codes: (codes != 0).double().mean(),
        lambda codes: (codes != 0).any(0).sum(),
    ],
    ids=["positive-only", "skips-empty-tokens", "share-of-units", "units-ever-active"],
)
def test_this_file_would_catch_an_l0_people_get_wrong(wrong):
    assert not math.isclose(wrong(torch.tensor(CODES)).item(), 6 / 5, rel_tol=0.01)


def test_documents_add_up():
    l0, density = given(L0(UNITS), items=[5, 5, 5, 2, 2], chunk=2), given(Density(UNITS), items=[5, 5, 5, 2, 2])
    items, above, below = l0.per_item()
    assert (items.tolist(), above.tolist(), below.tolist()) == ([2, 5], [3, 3], [2, 3])
    assert density.per_item().denominators.tolist() == [8, 12]


def test_density_is_told_unit_by_unit():
    density = given(Density(UNITS), chunk=2)
    assert density.per_unit().tolist() == pytest.approx([0.8, 0.0, 0.2, 0.2])
    assert density.window == 5


def test_the_histogram_holds_every_unit_once():
    density = given(Density(UNITS))
    edges, counts, never = density.histogram(bins=4)
    assert edges.tolist() == pytest.approx([-math.log10(5) * part for part in (1, 0.75, 0.5, 0.25, 0)])
    assert counts.tolist() == [2, 0, 0, 1]  # log10 of 0.2 is the lowest edge, of 0.8 in the last quarter
    assert never == 1


@pytest.mark.parametrize("tokens", [2, 3, 19, 24, 1000, 12345])
def test_units_that_fire_once_or_always_are_inside_the_histogram(tokens):
    density = Density(3)
    density.add(
        torch.cat([torch.zeros(tokens, dtype=torch.int64), torch.tensor([1])]),
        torch.ones(tokens + 1),
        torch.cat([torch.arange(tokens), torch.tensor([tokens + 1])]),
    )
    counts = density.histogram(bins=7).counts
    assert (counts[0], counts[-1], counts.sum()) == (1, 1, 2)


def test_dead_depends_on_the_window():
    dead = given(DeadFraction(UNITS), CODES[:2])
    assert (dead.value(), dead.window) == (0.5, 2)
    given(dead, CODES[2:])
    assert (dead.value(), dead.window) == (0.25, 5)


@pytest.mark.parametrize(
    "ids, values, offsets, found",
    [
        ([0, 4], [1.0, 1.0], [0, 2], "units from 0 to 4, where there are 4"),
        ([-1], [1.0], [0, 1], "units from -1 to -1, where there are 4"),
        ([0], [1.0, 2.0], [0, 1], "1 ids beside 2 values"),
        ([0, 1], [1.0, 1.0], [0, 1], "offsets that do not rise from 0 to 2: [0, 1] … [0, 1]"),
        ([0, 1], [1.0, 1.0], [0, 2, 1, 2], "offsets that do not rise from 0 to 2: [0, 2, 1] … [2, 1, 2]"),
        ([0], [1.0], [], "offsets that do not rise from 0 to 1: [] … []"),
    ],
    ids=["past-the-end", "negative", "counts", "short", "falling", "none"],
)
def test_codes_that_do_not_fit_are_refused(ids, values, offsets, found):
    parts = torch.tensor(ids), torch.tensor(values), torch.tensor(offsets, dtype=torch.int64)
    with unchecked(), pytest.raises(WrongUse) as error:
        L0(UNITS).add(*parts)
    assert (error.value.what, error.value.found) == ("add codes to l0", found)


def test_refusals_of_the_constructor():
    with pytest.raises(WrongUse, match="0 units"):
        DeadFraction(0)
    with pytest.raises(WrongUse, match="those above a share of 1"):
        DenseFraction(4, above=1.0)


@pytest.mark.parametrize("metric", [DeadFraction, DenseFraction, Density, L0, L1], ids=lambda metric: metric.name)
def test_nothing_added_has_no_value(metric):
    with pytest.raises(WrongUse, match="take the value of " + metric.name):
        metric(4).value()


def test_a_histogram_needs_a_window():
    with pytest.raises(WrongUse, match="a window of 1 tokens"):
        given(Density(UNITS), CODES[:1]).histogram()


def test_a_million_units_cost_no_dense_table():
    """A dense [tokens, units] of this size would take 16 GB."""
    tokens, units, k = 4096, 1_000_000, 4
    ids = torch.randint(units, (tokens * k,), generator=torch.Generator().manual_seed(0))
    codes = active("l0", ids, torch.ones(tokens * k), torch.arange(tokens + 1) * k, units)
    l0 = L0(units)
    l0.add(ids, torch.ones(tokens * k), torch.arange(tokens + 1) * k)
    assert (l0.value(), codes.tokens) == (k, tokens)
