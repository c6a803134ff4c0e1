"""Sets of units: what a circuit and its nulls have in common, whatever the scores."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from microtome.circuit.nodesets import rankings

SHAPE = (3, 4, 10)


@st.composite
def drawn(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    differs = torch.rand(SHAPE, generator=generator) < draw(st.sampled_from([0.0, 0.3, 1.0]))
    scores, changed = (torch.randn(SHAPE, generator=generator) * differs for _ in range(2))
    return rankings(scores, changed.abs(), differs, draws=5, seed=draw(st.integers(0, 99))), scores, differs


@given(drawn(), st.integers(1, 150))
def test_matched_sets_have_as_many_units_in_every_cell(made, size):
    ranked, _, differs = made
    circuit, change, *matched = ranked.sets(size)
    assert circuit.sum() == change.sum() == min(size, int(differs.sum()))
    for one in matched:
        assert torch.equal(one.sum(-1), circuit.sum(-1))
    assert not (ranked.sets(size) & ~differs).any()


@given(drawn(), st.integers(1, 149))
def test_a_larger_circuit_holds_the_smaller_one(made, size):
    ranked, scores, _ = made
    smaller, larger = ranked.sets(size)[0], ranked.sets(size + 1)[0]
    assert not (smaller & ~larger).any()
    if smaller.any() and (~smaller).any():
        assert scores.abs()[smaller].min() >= scores.abs()[~smaller].max() or smaller.sum() == (scores != 0).sum()


def test_draws_differ_and_come_back_with_their_seed():
    scores, everywhere = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1)), torch.ones(SHAPE).bool()
    first, again, other = (rankings(scores, scores.abs(), everywhere, 3, seed).sets(20) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first[2:], other[2:])
    assert not torch.equal(first[2], first[3])
