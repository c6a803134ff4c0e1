"""Precision, recall and AUROC, by hand, by brute force and by their laws."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtome.metrics.retrieval import auroc, precision, recall

SCORES = st.dictionaries(st.integers(0, 30), st.integers(-3, 3).map(float), min_size=2, max_size=12)


def test_by_hand():
    found, true = ["a", "b", "c"], {"b", "c", "d", "e"}
    assert precision(found, true) == pytest.approx(2 / 3)
    assert recall(found, true) == 0.5
    assert auroc({"a": 3.0, "b": 2.0, "c": 2.0, "f": 1.0}, {"b", "c"}) == 0.5
    assert (precision([], true), recall(found, []), auroc({"a": 1.0}, {"a"})) == (None, None, None)


@given(SCORES, st.data())
def test_auroc_is_the_chance_that_a_true_one_is_above(scores, data):
    true = data.draw(st.sets(st.sampled_from(sorted(scores))))
    others = scores.keys() - true
    pairs = [(scores[a] > scores[b]) + (scores[a] == scores[b]) / 2 for a, b in itertools.product(true, others)]
    expected = sum(pairs) / len(pairs) if pairs else None
    assert auroc(scores, true) == (None if expected is None else pytest.approx(expected))
    if pairs:
        turned = auroc({name: -score for name, score in scores.items()}, true)
        assert turned == pytest.approx(1 - expected)
