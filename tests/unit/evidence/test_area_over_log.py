"""Area over log N, held to a curve whose area can be worked out by hand.

The sizes are uneven in log N, and the curve bends: on even steps, or on a straight line between its
ends, several wrong formulas give the right number.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import WrongUse
from microtome.evidence import area_over_log, log_weights, ratio_of_sums

steady = settings(derandomize=True, max_examples=60)

SIZES, VALUES = (10, 100, 10_000), (0.0, 0.6, 1.0)
EXPECTED = (1 * 0.3 + 2 * 0.8) / 3  # one decade at a mean of 0.3, two at 0.8


def test_matches_the_number_worked_out_by_hand():
    assert area_over_log(SIZES, VALUES) == pytest.approx(EXPECTED)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda n, f: np.trapezoid(f, n) / (n[-1] - n[0]),
        lambda n, f: np.trapezoid(f, np.log(n)),
        lambda n, f: np.trapezoid(f, np.log(n)) / np.log(n[-1]),
        lambda n, f: f.mean(),
        lambda n, f: (f[1:] * np.diff(np.log(n))).sum() / np.log(n[-1] / n[0]),
    ],
    ids=["linear-in-n", "not-normalised", "from-the-wrong-end", "mean-of-the-points", "right-hand-steps"],
)
def test_this_file_would_catch_the_areas_people_get_wrong(wrong):
    mistaken = wrong(np.array(SIZES, dtype=float), np.array(VALUES))
    assert not math.isclose(mistaken, EXPECTED, abs_tol=0.01)


rising = st.lists(st.integers(1, 10**6), min_size=2, max_size=12, unique=True).map(sorted)


@steady
@given(sizes=rising, height=st.floats(-10, 10))
def test_a_constant_curve_has_its_own_height(sizes, height):
    assert area_over_log(sizes, [height] * len(sizes)) == pytest.approx(height, abs=1e-9)


@steady
@given(sizes=rising, factor=st.integers(2, 1000), data=st.data())
def test_the_area_stays_within_the_curve_and_ignores_the_unit_of_size(sizes, factor, data):
    values = data.draw(st.lists(st.floats(-10, 10), min_size=len(sizes), max_size=len(sizes)))
    area = area_over_log(sizes, values)
    assert min(values) - 1e-9 <= area <= max(values) + 1e-9
    assert area_over_log([factor * n for n in sizes], values) == pytest.approx(area, abs=1e-6)


def test_a_point_on_the_line_between_its_neighbours_changes_nothing():
    assert area_over_log((10, 100, 1000, 10_000), (0.0, 0.6, 0.8, 1.0)) == pytest.approx(EXPECTED)


def test_an_area_of_ratios_of_sums_is_a_ratio_of_sums_of_areas():
    rng = np.random.default_rng(0)
    below = rng.uniform(1, 3, 12)
    above = below[:, None] * rng.random((12, 3))
    of_curve = area_over_log(SIZES, above.sum(axis=0) / below.sum())
    assert ratio_of_sums(above @ log_weights(SIZES), below).value == pytest.approx(of_curve)


@pytest.mark.parametrize(
    ("sizes", "shown"), [((100,), "100"), ((0, 10), "0, 10"), ((10, 10), "10, 10"), ((100, 10), "100, 10")]
)
def test_sizes_that_do_not_rise_are_refused(sizes, shown):
    with pytest.raises(WrongUse) as error:
        area_over_log(sizes, [0.5] * len(sizes))
    assert str(error.value) == (
        f"take an area over log N\n  found: the sizes {shown}\n  do:    give at least two sizes, above zero and rising"
    )


def test_a_value_a_size_is_needed():
    with pytest.raises(WrongUse) as error:
        area_over_log(SIZES, [0.1, 0.2])
    assert str(error.value) == (
        "use the values of the curve\n  found: 2 of them beside 3 items\n  do:    give finite numbers of shape [items]"
    )
