"""Intervals over items, held to hand-made values, to invariances and to how often they cover.

Denominators are uneven and the ratio changes with them: with equal denominators the ratio of sums and
the mean of ratios are one number, and a mix-up of the two would pass.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from microtome.core.errors import WrongUse
from microtome.evidence import (
    clopper_pearson,
    difference_of_ratios,
    mean_interval,
    most_errors,
    ratio_of_sums,
)

steady = settings(derandomize=True, max_examples=60)

NUMERATORS, DENOMINATORS = [1.0, 1.0, 10.0], [1.0, 4.0, 15.0]
EXPECTED = 12 / 20


def items(n, seed=0):
    rng = np.random.default_rng(seed)
    denominators = rng.uniform(1, 3, n)
    return denominators * rng.normal(0.7, 0.3, n), denominators


def test_the_value_is_the_ratio_of_sums():
    assert ratio_of_sums(NUMERATORS, DENOMINATORS).value == pytest.approx(EXPECTED)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, d: np.mean(a / d),
        lambda a, d: np.median(a / d),
        lambda a, d: np.mean(a),
        lambda a, d: np.sum(a * d) / np.sum(d * d),
    ],
    ids=["mean-of-ratios", "median-of-ratios", "forgets-the-denominator", "least-squares-slope"],
)
def test_this_file_would_catch_the_formulas_people_get_wrong(wrong):
    mistaken = wrong(np.array(NUMERATORS), np.array(DENOMINATORS))
    assert not math.isclose(mistaken, EXPECTED, abs_tol=0.02)


def test_few_items_get_students_interval():
    x = [1.0, 2.0, 4.0, 5.0]  # mean 3, variance 10/3, t(0.975, 3) = 3.182446
    value, interval = mean_interval(x)
    half = 3.182446 * math.sqrt(10 / 3 / 4)
    assert value == 3
    assert interval == pytest.approx((3 - half, 3 + half), rel=1e-5)


def test_students_interval_of_a_ratio_by_hand():
    # Residuals 0.4, −1.4, 1: variance 1.56, mean denominator 20/3, t(0.975, 2) = 4.302653.
    half = 4.302653 * math.sqrt(1.56 / 3) / (20 / 3)
    interval = ratio_of_sums(NUMERATORS, DENOMINATORS).interval
    assert interval == pytest.approx((0.6 - half, 0.6 + half), rel=1e-5)


def test_one_item_has_a_value_and_no_interval():
    assert ratio_of_sums([3.0], [4.0]) == (0.75, None)


@pytest.mark.parametrize("n", [3, 12])
@pytest.mark.parametrize("ratio", [0.5, 0.3], ids=["exactly", "up-to-rounding"])
def test_items_that_do_not_vary_have_an_interval_of_no_width(n, ratio):
    denominators = np.linspace(1, 7, n)
    value, interval = ratio_of_sums(ratio * denominators, denominators)
    assert value == pytest.approx(ratio)
    assert interval == pytest.approx((ratio, ratio), abs=1e-12)


def test_a_dozen_items_are_given_students_width_and_not_the_normal_one():
    x = np.linspace(-1, 1, 12)  # a plain bootstrap comes out 15% short of this
    low, high = mean_interval(x, resamples=20_000).interval
    width = 2 * stats.t.ppf(0.975, 11) * x.std(ddof=1) / math.sqrt(12)
    assert high - low == pytest.approx(width, rel=0.06)


def test_many_even_items_have_the_normal_interval():
    x = np.random.default_rng(1).normal(5, 2, 400)
    low, high = mean_interval(x, level=0.9).interval
    half = stats.norm.ppf(0.95) * x.std() / math.sqrt(400)
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.1 * half)


def test_a_skewed_sample_has_a_longer_upper_arm():
    x = np.random.default_rng(2).exponential(size=40)
    value, (low, high) = mean_interval(x)
    assert high - value > 1.1 * (value - low)


def test_a_higher_level_is_wider_and_another_seed_is_close_by():
    a, d = items(40)
    narrow, wide, other = (
        ratio_of_sums(a, d, level=level, seed=seed).interval for level, seed in [(0.8, 0), (0.99, 0), (0.99, 1)]
    )
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert other != wide
    assert other == pytest.approx(wide, abs=0.2 * (wide[1] - wide[0]))


@steady
@given(n=st.integers(2, 30), seed=st.integers(0, 10_000))
def test_neither_the_order_of_items_nor_their_unit_matters(n, seed):
    a, d = items(n, seed)
    plain = ratio_of_sums(a, d, resamples=300)
    shuffled = np.random.default_rng(seed).permutation(n)
    assert ratio_of_sums(a[shuffled], d[shuffled], resamples=300) == plain
    value, interval = ratio_of_sums(8 * a, d / 4, resamples=300)
    assert (value, *interval) == pytest.approx((32 * plain.value, *(32 * end for end in plain.interval)))


@steady
@given(n=st.integers(2, 30), seed=st.integers(0, 10_000))
def test_the_interval_holds_the_value(n, seed):
    value, (low, high) = ratio_of_sums(*items(n, seed), resamples=300)
    assert low < value < high


def test_the_ratio_interval_covers_as_often_as_it_says():
    misses = 0
    for seed in range(200):
        low, high = ratio_of_sums(*items(40, seed), seed=seed).interval
        misses += not low <= 0.7 <= high
    assert misses <= most_errors(0.05, 200)
    assert misses >= 3  # an interval that always covers is too wide: P(fewer than 3 of 200 at 5%) < 0.003


def test_the_difference_is_paired():
    a, d = items(40)
    b = a - 0.1 * d + np.random.default_rng(7).normal(0, 0.01, 40)
    value, (low, high) = difference_of_ratios(a, b, d)
    assert value == pytest.approx(ratio_of_sums(a, d).value - ratio_of_sums(b, d).value)
    apart = ratio_of_sums(a, d).interval[0] - ratio_of_sums(b, d).interval[1]
    assert apart < 0 < low  # the two intervals overlap, and the difference is clear all the same
    assert high - low < 0.02


def test_a_difference_of_nothing_is_found_as_rarely_as_it_says():
    found = 0
    for seed in range(200):
        (a, d), b = items(40, seed), np.random.default_rng(1000 + seed).normal(0.7, 0.3, 40)
        low, high = difference_of_ratios(a, b * d, d, seed=seed).interval
        found += low > 0 or high < 0
    assert found <= most_errors(0.05, 200)


def test_half_precision_is_summed_in_double():
    a = np.full(4096, 0.1, dtype=np.float32)
    assert ratio_of_sums(a, np.ones(4096, dtype=np.float32), resamples=50).value == pytest.approx(
        float(np.float32(0.1)), rel=1e-12
    )


# Shares


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),  # closed forms at the ends
        (20, 20, 0.025 ** (1 / 20), 1.0),
        (1, 1, 0.025, 1.0),
    ],
)
def test_shares_at_the_ends_have_closed_forms(successes, n, low, high):
    value, interval = clopper_pearson(successes, n)
    assert value == successes / n
    assert interval == pytest.approx((low, high))


@steady
@given(n=st.integers(1, 60), data=st.data(), rate=st.floats(0.02, 0.98))
def test_the_exact_interval_leaves_out_only_rates_that_the_count_speaks_against(n, data, rate):
    k = data.draw(st.integers(0, n))
    low, high = clopper_pearson(k, n, level=0.9).interval
    fewer, more = stats.binom.cdf(k, n, rate), stats.binom.sf(k - 1, n, rate)
    assert (low <= rate <= high) == (fewer >= 0.05 and more >= 0.05)


def test_the_errors_that_a_stated_rate_allows():
    assert most_errors(0.05, 200) == 15
    assert stats.binom.sf(15, 200, 0.05) <= 0.05 < stats.binom.sf(14, 200, 0.05)


# What is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ratio_of_sums([], []),
            "use the numerators\n  found: an array of shape [0]\n  do:    give finite numbers of shape [items]",
        ),
        (
            lambda: ratio_of_sums([1.0, math.nan], [1.0, 1.0]),
            "use the numerators\n  found: 1 of 2 that are not finite\n  do:    give finite numbers of shape [items]",
        ),
        (
            lambda: ratio_of_sums([1.0, 2.0], [1.0]),
            "use the denominators\n  found: 1 of them beside 2 items\n  do:    give finite numbers of shape [items]",
        ),
        (
            lambda: ratio_of_sums([1.0, 2.0, 3.0], [1.0, 0.0, -1.0]),
            "take a ratio of sums\n  found: 2 of 3 denominators not above zero\n"
            "  do:    leave out, and count, the items whose denominator lies under a stated floor",
        ),
        (
            lambda: mean_interval([1.0, 2.0], level=95.0),
            "take an interval\n  found: level 95\n  do:    give a level in (0, 1), such as 0.95",
        ),
        (
            lambda: clopper_pearson(3, 2),
            "take an interval of a share\n  found: 3 successes in 2 trials\n  do:    give 0 ≤ successes ≤ n, and n ≥ 1",
        ),
    ],
    ids=["no-items", "nan", "lengths", "denominators", "percent", "more-than-all"],
)
def test_what_has_no_interval_is_refused(call, message):
    with pytest.raises(WrongUse) as error:
        call()
    assert str(error.value) == message
