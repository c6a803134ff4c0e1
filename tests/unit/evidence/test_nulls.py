"""Nulls and their p-values, held to counts done by hand and to what happens when the null is true.

The draws are few and uneven on purpose: with many draws p with and without the +1 agree to the eye,
and with equal draws a value above them all has the same p under every formula.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from microtome.core.errors import FormatError, WrongUse
from microtome.evidence import Null, most_errors, null_of_the_mean

DRAWS = (0.1, 0.4, 0.4, 0.9)
finite = st.floats(-1e6, 1e6)
steady = settings(derandomize=True, max_examples=60)


@pytest.mark.parametrize(
    ("value", "higher_is_better", "p_value"),
    [
        (1.0, True, 1 / 5),  # none at least as good, and the value itself
        (0.5, True, 2 / 5),
        (0.4, True, 4 / 5),  # a tie counts against the value
        (0.0, True, 5 / 5),
        (0.0, False, 1 / 5),
        (0.4, False, 4 / 5),
        (1.0, False, 5 / 5),
    ],
)
def test_p_counts_the_value_and_every_draw_at_least_as_good(value, higher_is_better, p_value):
    assert Null.against("sets", value, DRAWS, higher_is_better).p_value == p_value


def test_effect_and_mean_by_hand():
    null = Null.against("sets", 0.7, DRAWS)
    assert null.mean == pytest.approx(0.45)
    assert null.effect == null.advantage == pytest.approx(0.25)


def test_where_lower_is_better_the_advantage_turns_and_the_effect_does_not():
    null = Null.against("sets", 0.2, DRAWS, higher_is_better=False, effect_interval=(-0.4, -0.1))
    assert null.effect == pytest.approx(-0.25)
    assert null.advantage == pytest.approx(0.25)
    assert null.advantage_interval == (0.1, 0.4)


def test_ties_up_to_rounding_count_against_the_value():
    assert 0.1 + 0.2 > 0.3
    assert Null.against("sets", 0.1 + 0.2, [0.3]).p_value == 1.0
    assert Null.against("sets", 0.3, [0.1 + 0.2], higher_is_better=False).p_value == 1.0


@steady
@given(value=finite, draws=st.lists(finite, min_size=1, max_size=30), higher=st.booleans())
def test_p_lies_in_its_bounds_and_ignores_the_order_of_draws(value, draws, higher):
    null = Null.against("sets", value, draws, higher)
    assert 1 / (1 + len(draws)) <= null.p_value <= 1
    assert Null.against("sets", value, draws[::-1], higher).p_value == null.p_value


@steady
@given(value=finite, draws=st.lists(finite, min_size=1, max_size=30), step=st.floats(0, 1e6))
def test_a_better_value_never_has_a_larger_p(value, draws, step):
    worse, better = (Null.against("sets", v, draws).p_value for v in (value, value + step))
    assert better <= worse


@steady
@given(value=finite, draws=st.lists(finite, min_size=1, max_size=30))
def test_turning_every_sign_and_the_direction_changes_no_p(value, draws):
    turned = Null.against("sets", -value, [-draw for draw in draws], higher_is_better=False)
    assert turned.p_value == Null.against("sets", value, draws).p_value


def test_under_a_true_null_small_p_values_are_as_rare_as_they_say():
    rng = np.random.default_rng(0)
    drawn = rng.exponential(size=(2000, 20))
    p = np.array([Null.against("sets", float(x[0]), x[1:]).p_value for x in drawn])
    for alpha in (0.05, 0.1, 0.25, 0.5):
        assert (p <= alpha).sum() <= most_errors(alpha, 2000)
    assert (p <= 0.05).sum() > 70  # and not rarer: p says what it can


@pytest.mark.parametrize(
    "wrong",
    [
        lambda value, draws: np.mean(draws >= value),
        lambda value, draws: (1 + np.sum(draws > value)) / (1 + draws.size),
        lambda value, draws: (1 + np.sum(draws <= value)) / (1 + draws.size),
        lambda value, draws: 2 * min(np.mean(draws >= value), np.mean(draws <= value)),
    ],
    ids=["no-plus-one", "ties-in-favour", "wrong-tail", "two-sided"],
)
def test_this_file_would_catch_the_p_values_people_get_wrong(wrong):
    right = [Null.against("sets", value, DRAWS).p_value for value in (1.0, 0.4, 0.5)]
    assert [wrong(value, np.array(DRAWS)) for value in (1.0, 0.4, 0.5)] != right


# What is refused


def test_a_null_without_draws_is_refused():
    with pytest.raises(WrongUse) as error:
        Null.against("sets", 0.5, [])
    assert str(error.value) == ("make the null 'sets'\n  found: a null without draws\n  do:    give at least one draw")


def test_nan_is_refused_since_it_would_score_the_smallest_p():
    with pytest.raises(WrongUse) as error:
        Null.against("sets", math.nan, [0.1, math.inf])
    assert str(error.value) == (
        "set a value against the null 'sets'\n"
        "  found: the value nan, and 1 of 2 draws that are not finite\n"
        "  do:    leave out, and count, the items on which the measurement is undefined"
    )


def test_a_p_value_without_the_plus_one_cannot_be_written_down():
    with pytest.raises(WrongUse) as error:
        Null("sets", DRAWS, p_value=0.0, effect=0.5)
    assert str(error.value) == (
        "make the null 'sets'\n"
        "  found: p=0 of 4 draws, which lies outside [0.2, 1]\n"
        "  do:    make it with Null.against, which counts the value as one of the draws"
    )


def test_reading_back_gives_the_same_null():
    null = Null.against("sets", 0.2, DRAWS, higher_is_better=False, effect_interval=(-0.4, -0.1))
    assert Null.from_dict(null.to_dict()) == null
    assert null.to_dict()["draws"] == list(DRAWS)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"draws": "0.1"}, "'0.1' where a list belongs"),
        ({"draws": [True]}, "True where a number belongs"),
        ({"draws": []}, "a null without draws"),
        ({"p_value": 0.0}, "p=0 of 4 draws, which lies outside [0.2, 1]"),
        ({"name": 3}, "3 where text belongs"),
        ({"advantage_interval": [0.1]}, "[0.1] where an interval belongs"),
        ({"higher_is_better": 1}, "1 where true or false belongs"),
        ({"colour": 1}, "missing fields [], unknown fields ['colour']"),
    ],
)
def test_a_damaged_file_is_refused_by_field(change, found):
    with pytest.raises(FormatError) as error:
        Null.from_dict(Null.against("sets", 0.7, DRAWS).to_dict() | change)
    assert str(error.value) == (
        f"read a Null from JSON\n  found: {found}\n  do:    give what `to_dict` wrote, or make the artefact again"
    )


# The null of a mean


def test_one_null_an_item_can_be_taken_in_one_way_only():
    draws = null_of_the_mean(np.array([[1.0], [3.0]]), [2.0, 6.0], repeats=500)
    assert draws.tolist() == [0.5]


def test_equal_nulls_give_their_ratio_of_sums_whatever_is_picked():
    table = np.array([[1.0, 1.0, 1.0], [9.0, 9.0, 9.0]])
    draws = null_of_the_mean(table, [1.0, 19.0], repeats=7)
    np.testing.assert_allclose(draws, np.full(7, 0.5))  # and not the mean of 1 and 9/19


def test_two_items_with_two_nulls_have_the_four_sums_that_can_be_written_down():
    # Nulls 0 and 2 about a mean of 1, spread by √3; likewise 0 and 20; denominators sum to 10.
    draws = null_of_the_mean(np.array([[0.0, 2.0], [0.0, 20.0]]), [4.0, 6.0], repeats=400, seed=1)
    wide = math.sqrt(3)
    expected = [(1 + a * wide + 10 + b * 10 * wide) / 10 for b in (-1, 1) for a in (-1, 1)]
    np.testing.assert_allclose(np.unique(draws.round(9)), np.round(expected, 9))


def test_draws_have_the_mean_of_the_nulls_and_come_again_with_the_seed():
    table = np.random.default_rng(0).normal(0.3, 1, size=(50, 20))
    draws = null_of_the_mean(table, np.ones(50), repeats=20_000, seed=3)
    assert draws.mean() == pytest.approx(table.mean(), abs=0.005)
    np.testing.assert_array_equal(draws, null_of_the_mean(table, np.ones(50), repeats=20_000, seed=3))
    assert (draws != null_of_the_mean(table, np.ones(50), repeats=20_000, seed=4)).any()


@pytest.mark.parametrize("nulls", [3, 20])
def test_under_a_true_null_the_mean_of_many_prompts_is_as_rarely_significant_as_it_says(nulls):
    rng = np.random.default_rng(0)
    p, unspread = [], []
    for seed in range(400):
        x = rng.normal(size=(30, nulls + 1))
        draws = null_of_the_mean(x[:, 1:], np.ones(30), repeats=400, seed=seed)
        p.append(Null.against("sets", float(x[:, 0].mean()), draws).p_value)
        picked = x[np.arange(30), 1 + rng.integers(nulls, size=(400, 30))].mean(axis=1)
        unspread.append(Null.against("sets", float(x[:, 0].mean()), picked).p_value)
    assert (np.array(p) <= 0.05).sum() <= most_errors(0.05, 400)
    if nulls == 3:  # what the spreading is for: picking alone is more than twice too bold
        assert (np.array(unspread) <= 0.05).sum() > 2 * 0.05 * 400


@pytest.mark.parametrize(
    ("table", "denominators", "message"),
    [
        (
            np.ones(3),
            [1.0],
            "use the null numerators\n  found: an array of shape [3]\n"
            "  do:    give finite numbers of shape [items, draws]",
        ),
        (
            np.ones((3, 2)),
            [1.0, 1.0],
            "use the denominators\n  found: 2 of them beside 3 items\n  do:    give finite numbers of shape [items]",
        ),
        (
            np.ones((2, 2)),
            [1.0, -1.0],
            "take a ratio of sums\n  found: 1 of 2 denominators not above zero\n"
            "  do:    leave out, and count, the items whose denominator lies under a stated floor",
        ),
    ],
)
def test_nulls_that_do_not_fit_their_items_are_refused(table, denominators, message):
    with pytest.raises(WrongUse) as error:
        null_of_the_mean(table, denominators)
    assert str(error.value) == message
