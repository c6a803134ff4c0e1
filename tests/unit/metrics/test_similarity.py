"""Similarity of dictionaries, on planted partners: some copied, some turned by a known angle, some strangers.

Sizes differ and partners are shuffled, so that the two directions are two numbers, and a greedy match, a match by one
of the two cosines, or one without order cannot pass for the real one.
"""

import math

import numpy as np
import pytest
import torch

from microtome.core.errors import WrongUse
from microtome.metrics import similarity
from microtome.metrics.similarity import MeanMaxCosine, SharedFraction, random_directions
from unchecked import unchecked


def mmcs(a, b):
    metric = MeanMaxCosine()
    metric.add(a, b)
    return metric.value()


def shared(*vectors, above=0.7):
    metric = SharedFraction(above)
    metric.add(*vectors)
    return metric.value()


def turned(vectors, cosine, seed=9):
    """Each vector turned by a known angle into a random direction."""
    other = random_directions(*vectors.shape, seed=seed)
    other = other - (other * vectors).sum(1, keepdim=True) * vectors
    return cosine * vectors + math.sqrt(1 - cosine**2) * other / other.norm(dim=1, keepdim=True)


def test_each_direction_by_hand():
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[1.0, 0.0], [3.0, 4.0], [-1.0, -1.0]])
    assert mmcs(a, b) == pytest.approx((1 + 0.8) / 2)
    assert mmcs(b, a) == pytest.approx((1 + 0.8 - math.sqrt(0.5)) / 3)


def test_a_shuffled_copy_of_other_lengths_is_found_whole():
    a = random_directions(200, 32)
    b = a[torch.randperm(200, generator=torch.Generator().manual_seed(1))] * torch.linspace(0.1, 9, 200)[:, None]
    assert mmcs(a, b) == pytest.approx(1, abs=1e-6)
    assert shared(a, a, b, b) == 1.0


def test_a_part_is_found_in_the_whole_and_not_the_other_way():
    whole = random_directions(100, 16)
    assert mmcs(whole[:20], whole) == pytest.approx(1, abs=1e-6)
    assert mmcs(whole, whole[:20]) < 0.8


def test_random_directions_are_even_and_of_norm_one_and_their_null_is_not_zero():
    drawn = random_directions(16_384, 768)
    assert drawn.norm(dim=1) == pytest.approx(torch.ones(16_384), abs=1e-5)
    assert drawn.mean(0).norm() < 2 / math.sqrt(16_384)
    null = mmcs(random_directions(100, 768, seed=1), drawn)
    assert null == pytest.approx(0.142, abs=0.004)
    assert null < math.sqrt(2 * math.log(16_384) / 768)


def test_directions_are_decided_by_the_seed():
    assert torch.equal(random_directions(5, 3, seed=2), random_directions(5, 3, seed=2))
    assert not torch.equal(random_directions(5, 3, seed=2), random_directions(5, 3, seed=3))


@pytest.mark.parametrize("block", [1, 100, 10**9])
def test_blocks_of_memory_do_not_change_it(block, monkeypatch):
    a, b = random_directions(30, 8), random_directions(40, 8, seed=1)
    expected = (a.double() @ b.double().T).amax(1).mean().item()
    monkeypatch.setattr(similarity, "BLOCK", block)
    assert mmcs(a, b) == pytest.approx(expected, abs=1e-6)


def test_units_add_up():
    a, b = random_directions(30, 8), random_directions(40, 8, seed=1)
    metric = MeanMaxCosine()
    for part in a.split(7):
        metric.add(part, b)
    items, above, below = metric.per_item()
    assert items.tolist() == list(range(30))
    assert above.sum() / below.sum() == pytest.approx(mmcs(a, b), rel=1e-12)


def test_shared_counts_partners_of_both_sides():
    reads, writes = random_directions(100, 64, seed=1), random_directions(100, 48, seed=2)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3))
    other_reads, other_writes = turned(reads, 0.9), turned(writes, 0.9)
    other_reads[:20] = turned(reads[:20], 0.6)  # found by their writes alone
    other_writes[20:50] = turned(writes[20:50], 0.6)  # by their reads alone
    other_reads[50:60], other_writes[50:60] = random_directions(10, 64, seed=4), random_directions(10, 48, seed=5)
    metric = SharedFraction()
    metric.add(reads, writes, other_reads[order], other_writes[order])
    assert metric.value() == 0.4
    _, above, below = metric.per_item()
    assert np.flatnonzero(above).tolist() == list(range(60, 100))
    assert below.tolist() == [1.0] * 100


def test_a_unit_has_one_partner_only():
    """Both units of a look most like the first of b; a match without order would share both, a greedy one the worse."""
    a = torch.tensor([[1.0, 0.0, 0.0], [0.95, math.sqrt(1 - 0.95**2), 0.0]])
    b = torch.tensor([[1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    assert shared(a, a, b, b) == 0.5
    assert mmcs(a, b) > 0.95


def test_the_matching_is_the_best_of_all_and_not_greedy():
    """Greedy takes the pair at 0.99 and leaves two at 0; together both pairs at 0.8 are better."""
    angle = [0.0, math.acos(0.99), math.acos(0.99) - math.acos(0.8), math.acos(0.8)]
    a = torch.tensor([[math.cos(angle[0]), math.sin(angle[0])], [math.cos(angle[1]), math.sin(angle[1])]])
    b = torch.tensor([[math.cos(angle[1]), math.sin(angle[1])], [math.cos(angle[2]), math.sin(angle[2])]])
    cosines = a @ b.T
    assert float(cosines[0, 1] + cosines[1, 0]) > 1.79
    assert shared(a, a, b, b) == 1.0


def test_reads_and_writes_decide_the_match_together():
    """Reads alone, being nearly equal, would pair each unit with the other's partner; writes alone likewise, turned."""
    near = torch.tensor([[1.0, 0.0], [0.99, 0.1]])
    for vectors in ((near, torch.eye(2), near.flip(0), torch.eye(2)), (torch.eye(2), near, torch.eye(2), near.flip(0))):
        assert shared(*vectors) == 1.0


def test_more_units_than_partners_leaves_some_without():
    whole = random_directions(50, 32)
    assert shared(whole, whole, whole[:20], whole[:20]) == 0.4
    assert shared(whole[:20], whole[:20], whole, whole) == 1.0


def test_the_threshold_is_the_one_that_was_asked_for():
    a = random_directions(40, 64)
    b = turned(a, 0.65)
    assert shared(a, a, b, b) == 0.0
    assert shared(a, a, b, b, above=0.6) == 1.0


def test_strangers_share_nothing():
    parts = [random_directions(300, 64, seed=seed) for seed in range(4)]
    assert shared(*parts) == 0.0


def test_blocks_are_matched_each_within_itself():
    a, b = random_directions(10, 16), random_directions(30, 16, seed=1)
    metric = SharedFraction()
    metric.add(a, a, a, a)
    metric.add(b, b, a, a)
    assert metric.value() == 0.25
    assert metric.per_item().items.tolist() == list(range(40))


@pytest.mark.parametrize(
    "use, found",
    [
        (lambda: mmcs(torch.zeros(2, 3), torch.eye(3)), "2 of 2 vectors are zero, and have no direction"),
        (lambda: mmcs(torch.eye(2), torch.eye(3)), "vectors of shapes [2, 2] and [3, 3]"),
        (lambda: mmcs(torch.eye(3), torch.zeros(0, 3)), "vectors of shapes [3, 3] and [0, 3]"),
        (lambda: MeanMaxCosine().value(), "no units were added"),
        (lambda: MeanMaxCosine().per_item(), "no units were added"),
        (lambda: SharedFraction().value(), "no units were added"),
        (lambda: SharedFraction().per_item(), "no units were added"),
        (lambda: SharedFraction(above=1.0), "a cosine above 1"),
        (
            lambda: shared(torch.eye(3), torch.eye(3)[:2], torch.eye(3), torch.eye(3)),
            "[3, 3] read and [2, 3] write vectors",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(use, found):
    with unchecked(), pytest.raises(WrongUse) as error:
        use()
    assert error.value.found == found
