"""Absorption and splitting in planted families, against counts made token by token."""

import math

import numpy as np
import pytest
import torch
from scipy import optimize

from microtome.core.errors import WrongUse
from microtome.metrics.families import FamilyAbsorption, FamilySplitting

TRUTH = torch.eye(2, 4)  # a parent and its child
PARENTS = torch.tensor([-1, 0])
MIXED = torch.stack([TRUTH[0], TRUTH.sum(0)])  # the child's unit writes the parent too
ACTIVE = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 1], [1, 1], [0, 0]]).bool()
APART = torch.tensor([[1, 0], [1, 0], [1, 1], [1, 1], [1, 1], [0, 0]]).bool()
ABSORBS = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]]).bool()


def fed(cls, on, active=ACTIVE, truth=TRUTH, parents=PARENTS, units=MIXED):
    metric = cls(truth, parents, units)
    metric.add(active, on)
    return metric


def test_a_parent_that_goes_unsaid_where_its_child_is_said_is_absorbed():
    assert fed(FamilyAbsorption, APART).value() == 0.0
    assert fed(FamilyAbsorption, ABSORBS).value() == pytest.approx(2 / 3)
    unsaid = ABSORBS & torch.tensor([True, False])  # silent, but no unit of the child speaks for it
    assert fed(FamilyAbsorption, unsaid).value() == 0.0


def test_a_unit_that_is_as_silent_without_a_child_absorbs_by_chance():
    silent = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]).bool()
    found = fed(FamilyAbsorption, silent)
    assert found.value() == pytest.approx(1 / 3)
    assert found.by_chance() == pytest.approx(0.5 * 2 / 3)
    assert fed(FamilyAbsorption, ABSORBS).by_chance() == 0.0


def test_a_parent_that_only_its_child_speaks_for_is_split():
    only_child = ACTIVE & torch.tensor([False, True])
    assert fed(FamilySplitting, only_child).value() == 1.0
    assert fed(FamilySplitting, APART).value() == 0.0
    assert fed(FamilySplitting, torch.zeros(6, 2, dtype=torch.bool)).value() == 0.0  # missed, not split
    with pytest.raises(WrongUse, match="no parent of 1"):
        fed(FamilyAbsorption, only_child).value()


def brute(truth, parents, units, active, on):
    """Both figures and the chance, by loops."""
    of = (truth / truth.norm(dim=1, keepdim=True)) @ (units / units.norm(dim=1, keepdim=True)).T
    rows, columns = optimize.linear_sum_assignment(of.numpy(), maximize=True)
    unit = dict(zip(rows.tolist(), columns.tolist(), strict=True))

    def fires(t, feature, bound):
        return feature in unit and of[feature, unit[feature]] >= bound and bool(on[t, unit[feature]])

    absorbed = together_all = chance = split = seen = 0
    for parent in sorted({p for p in parents.tolist() if p >= 0}):
        children = [i for i, p in enumerate(parents.tolist()) if p == parent]
        with_child = [t for t in range(len(active)) if active[t, parent] and any(active[t, c] for c in children)]
        alone = [t for t in range(len(active)) if active[t, parent] and t not in set(with_child)]
        heard = [t for t in alone if fires(t, parent, 0.7)]
        told = [t for t in with_child if any(active[t, c] and fires(t, c, 0.5) for c in children)]
        if alone and len(heard) >= 0.5 * len(alone) and of[parent, unit.get(parent, 0)] >= 0.7 and parent in unit:
            absorbed += sum(not fires(t, parent, 0.7) for t in told)
            together_all += len(with_child)
            chance += (1 - len(heard) / len(alone)) * len(told)
        elif alone and with_child:
            split += len(told) >= 0.5 * len(with_child)
        seen += bool(alone and with_child)
    return absorbed / together_all if together_all else math.nan, chance / (together_all or math.nan), split / seen


@pytest.mark.parametrize("seed", range(6))
def test_against_loops(seed):
    draw = torch.Generator().manual_seed(seed)
    parents = torch.tensor([-1, -1, -1, -1, 0, 0, 1, 1, 2, 2])
    truth = torch.randn(10, 16, generator=draw)
    units = truth[torch.randperm(10, generator=draw)][:9].clone()
    units[:3] += 0.9 * units[3:6]
    on_parents = torch.rand(300, 4, generator=draw) < 0.4
    children = torch.rand(300, 6, generator=draw) < 0.4
    active = torch.cat([on_parents, children & on_parents[:, [0, 0, 1, 1, 2, 2]]], 1)
    on = ((active.float() @ (truth @ units.T)) > 8) & (torch.rand(300, 9, generator=draw) < 0.9)
    absorption = fed(FamilyAbsorption, on, active, truth, parents, units)
    splitting = fed(FamilySplitting, on, active, truth, parents, units)
    expected = brute(truth, parents, units, active, on)
    if math.isnan(expected[0]):
        assert not len(absorption.per_item().items)
    else:
        assert (absorption.value(), absorption.by_chance()) == pytest.approx(expected[:2])
    assert splitting.value() == pytest.approx(expected[2])
    assert np.isin(absorption.per_item().items, [0, 1, 2]).all()


def test_parents_of_other_features_are_refused():
    with pytest.raises(WrongUse, match="2 features, parents of 1"):
        FamilyAbsorption(TRUTH, PARENTS[:1], MIXED)
