"""Benjamini-Hochberg, held to four p-values that can be adjusted by hand.

The p-values come unsorted, and one of them (0.03) takes its neighbour's adjusted value: without both,
formulas that forget to put things back in order or to take the running minimum would pass.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import WrongUse
from microtome.evidence import benjamini_hochberg

steady = settings(derandomize=True, max_examples=60)

P = [0.04, 0.01, 0.5, 0.03]
ADJUSTED = [0.04 * 4 / 3, 0.04, 0.5, 0.04 * 4 / 3]  # 0.03 × 4 / 2 = 0.06 exceeds its neighbour's 0.0533
many = st.lists(st.floats(1e-6, 1), min_size=1, max_size=40)


def test_matches_the_values_worked_out_by_hand():
    np.testing.assert_allclose(benjamini_hochberg(P), ADJUSTED)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda p: np.minimum(1, p * p.size),
        lambda p: p * p.size / (1 + p.argsort().argsort()),
        lambda p: np.sort(benjamini_hochberg(p)),
        lambda p: p,
    ],
    ids=["bonferroni", "no-running-minimum", "loses-the-order", "no-adjustment"],
)
def test_this_file_would_catch_the_formulas_people_get_wrong(wrong):
    assert not np.allclose(wrong(np.array(P)), ADJUSTED)


@steady
@given(p=many)
def test_adjusting_only_raises_and_keeps_the_order(p):
    adjusted = benjamini_hochberg(p)
    assert (adjusted >= np.array(p) - 1e-12).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= -1e-12).all()


@steady
@given(p=many, seed=st.integers(0, 1000))
def test_the_order_of_tests_does_not_matter(p, seed):
    shuffled = np.random.default_rng(seed).permutation(len(p))
    np.testing.assert_allclose(benjamini_hochberg(np.array(p)[shuffled]), benjamini_hochberg(p)[shuffled])


def test_one_test_needs_no_adjustment():
    assert benjamini_hochberg([0.03]).tolist() == [0.03]


def test_the_share_of_false_discoveries_is_held():
    rng = np.random.default_rng(0)
    shares, found = [], 0
    for _ in range(300):
        p = np.concatenate([rng.uniform(size=80), rng.beta(0.05, 1, 20).clip(1e-12)])
        discovered = benjamini_hochberg(p) <= 0.1
        shares.append(discovered[:80].sum() / max(1, discovered.sum()))
        found += discovered[80:].sum()
    assert np.mean(shares) < 0.1  # expected 0.1 × 80 / 100
    assert found > 300 * 10  # and most of what is true is found


@pytest.mark.parametrize(
    ("p", "found"),
    [([0.0, 0.5], "1 of 2 outside (0, 1], such as 0"), ([1.5], "1 of 1 outside (0, 1], such as 1.5")],
)
def test_what_is_no_p_value_is_refused(p, found):
    with pytest.raises(WrongUse) as error:
        benjamini_hochberg(p)
    assert str(error.value) == (
        f"adjust p-values for several tests\n  found: {found}\n"
        "  do:    give p-values as Null.against makes them, which counts the value as one of the draws"
    )
