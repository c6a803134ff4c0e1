"""What must hold of every task's generator, and what each single one promises."""

import re
from collections import Counter
from itertools import islice
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtome.core.errors import WrongUse
from microtome.data.generator import TASKS, drawn, generator, paired, shuffled
from microtome.data.names import MEN, WOMEN
from microtome.data.row import members
from microtome.data.tasks.agreement import NOUNS, VERBS
from microtome.data.tasks.capitals import CAPITALS
from microtome.data.tasks.opposites import OPPOSITE, PAIRS
from microtome.data.tasks.past_tense import EXAMPLES, PAST

EXPECTED = ["agreement", "capitals", "greater-than", "ioi", "opposites", "past-tense", "pronouns"]


@pytest.fixture(params=[entry.name for entry in TASKS])
def recipe(request):
    return TASKS.get(request.param)


def rows_of(name, n=300, seed=0):
    return TASKS.get(name)(n, seed)


def words_of(text):
    return text.split(" ")


# Every generator.


def test_the_tasks_are_there():
    assert [entry.name for entry in TASKS] == EXPECTED


def test_eighty_rows_are_there_and_all_differ(recipe):
    rows = recipe(80, 0)
    assert len({(row.clean, row.counterfactual) for row in rows}) == 80


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_rows_never_repeat(recipe, seed):
    rows = recipe(1000, seed)
    assert len(set(rows)) == len(rows) == 1000


def test_the_seed_decides_the_rows(recipe):
    assert recipe(80, 3) == recipe(80, 3)
    assert recipe(80, 3) != recipe(80, 4)


def test_a_larger_task_begins_with_the_rows_of_a_smaller(recipe):
    assert recipe(80, 5)[:30] == recipe(30, 5)


def test_prompts_end_where_an_answer_can_follow(recipe):
    for row in recipe(80, 0):
        for answer in (*members(row.target), *members(row.against)):
            assert re.fullmatch(r" [A-Za-z]+|[0-9]", answer)
            for prompt in (row.clean, row.counterfactual):
                assert prompt == prompt.strip()
                assert prompt[-1].isdigit() == answer.isdigit()


def test_the_two_prompts_differ_in_one_word(recipe):
    """One word, in one place: so whatever differs inside the model comes from it."""
    for row in recipe(80, 0):
        clean, other = words_of(row.clean), words_of(row.counterfactual)
        assert len(clean) == len(other)
        assert sum(a != b for a, b in zip(clean, other, strict=True)) == 1


def test_no_answer_is_always_the_target(recipe):
    """Otherwise a circuit that says one thing to everything would pass for one that answers."""
    targets = Counter(answer for row in recipe(80, 0) for answer in set(members(row.target)))
    against = Counter(answer for row in recipe(80, 0) for answer in set(members(row.against)))
    assert set(targets) & set(against)
    assert len(targets) >= 2


# The ways of drawing.


@given(st.integers(0, 200), st.integers(0, 1000))
def test_shuffled_gives_every_number_once(size, seed):
    assert sorted(shuffled(Random(seed), size)) == list(range(size))


def test_shuffled_is_uniform():
    counts = Counter(tuple(shuffled(Random(seed), 3)) for seed in range(6000))
    assert len(counts) == 6
    assert all(850 < count < 1150 for count in counts.values())  # 1000 ± 5 standard deviations


def test_a_few_numbers_out_of_very_many_cost_only_the_few():
    assert len(set(islice(shuffled(Random(0), 10**15), 100))) == 100


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 100))
def test_drawn_gives_every_combination_once(sizes, seed):
    combinations = list(drawn(Random(seed), *(range(size) for size in sizes)))
    total = 1
    for size in sizes:
        total *= size
    assert len(set(combinations)) == len(combinations) == total
    assert all(0 <= place < size for combo in combinations for place, size in zip(combo, sizes, strict=True))


@given(st.integers(0, 30), st.integers(0, 100))
def test_paired_gives_every_pair_once_and_spreads_the_items(count, seed):
    pairs = list(paired(Random(seed), range(count)))
    assert sorted(pairs) == [(a, b) for a in range(count) for b in range(count) if a != b]
    for start in range(0, len(pairs), max(count, 1)):
        block = pairs[start : start + count]
        assert len({first for first, _ in block}) == len({second for _, second in block}) == count


def test_a_name_can_be_taken_once_only():
    with pytest.raises(WrongUse, match=r"two entries want that name: microtome\.data\.tasks\.ioi and"):
        generator("ioi", summary="another")(lambda rng: iter(()))


# Each generator's own promise.


def test_capitals_go_with_their_countries():
    assert len(set(CAPITALS.values())) == len(CAPITALS) >= 30
    for row in rows_of("capitals"):
        for prompt, answer in ((row.clean, row.target), (row.counterfactual, row.against)):
            assert prompt == f"The capital of {words_of(prompt)[3]} is"
            assert answer == f" {CAPITALS[words_of(prompt)[3]]}"


def test_the_first_rows_of_capitals_use_every_country_before_any_twice():
    countries = [words_of(row.clean)[3] for row in rows_of("capitals", len(CAPITALS))]
    assert set(countries) == set(CAPITALS)


def test_ioi_names_three_people_of_whom_the_single_one_receives():
    for row in rows_of("ioi"):
        for prompt, receiver, giver in (
            (row.clean, row.target, row.against),
            (row.counterfactual, row.against, row.target),
        ):
            named = [word for word in re.findall(r"\w+", prompt) if word in WOMEN + MEN]
            assert named.count(receiver.strip()) == 1
            assert named.count(giver.strip()) == 2
            assert named[2] == giver.strip()


def test_ioi_has_the_receiver_first_about_as_often_as_second():
    first = [words_of(row.clean).index(row.target[1:]) for row in rows_of("ioi", 400)]
    other = [words_of(row.clean).index(row.against[1:]) for row in rows_of("ioi", 400)]
    assert 140 < sum(a < b for a, b in zip(first, other, strict=True)) < 260


def test_agreement_flips_the_head_noun_and_answers_with_its_number():
    singular, plural = (dict(NOUNS), {many: one for one, many in NOUNS})
    for row in rows_of("agreement"):
        clean, other = words_of(row.clean), words_of(row.counterfactual)
        place = next(i for i, (a, b) in enumerate(zip(clean, other, strict=True)) if a != b)
        nouns = [i for i, word in enumerate(clean) if word in singular or word in plural]
        assert place == nouns[0]
        verb = (row.target[1:], row.against[1:])
        if clean[place] in singular:
            assert singular[clean[place]] == other[place]
            assert verb in VERBS
        else:
            assert plural[clean[place]] == other[place]
            assert verb[::-1] in VERBS


def test_every_other_row_of_agreement_has_a_second_noun_that_may_mislead():
    forms = {form for noun in NOUNS for form in noun}
    counts = [sum(word in forms for word in words_of(row.clean)) for row in rows_of("agreement", 100)]
    assert counts == [1, 2] * 50
    plural = {many for _, many in NOUNS}
    across = rows_of("agreement", 100)[1::2]
    unlike = sum((words_of(row.clean)[1] in plural) != (words_of(row.clean)[-1] in plural) for row in across)
    assert 10 < unlike < 40


def test_opposites_are_mutual_and_do_not_stand_in_the_prompt():
    assert len(OPPOSITE) == 2 * len(PAIRS)
    for row in rows_of("opposites"):
        word, other = words_of(row.clean)[3], words_of(row.counterfactual)[3]
        assert (row.target, row.against) == (f" {OPPOSITE[word]}", f" {OPPOSITE[other]}")
        assert OPPOSITE[OPPOSITE[word]] == word != OPPOSITE[other]


def test_greater_than_is_right_by_arithmetic():
    """Any year with a target digit ends after both starts; one with an `against` digit only after one."""
    for row in rows_of("greater-than"):
        late, early = (int(re.search(r"year (\d{4}) to", prompt)[1]) for prompt in (row.clean, row.counterfactual))
        century = words_of(row.clean)[-1]
        assert words_of(row.counterfactual)[-1] == century == str(late)[:2] == str(early)[:2]
        for digit in members(row.target):
            assert int(f"{century}{digit}0") > late
        for digit in members(row.against):
            assert early < int(f"{century}{digit}0")
            assert int(f"{century}{digit}9") < late
        inside = {*members(row.target), *members(row.against), str(late)[2]}
        assert inside == {str(digit) for digit in range(int(str(early)[2]) + 1, 10)}


def test_pronouns_follow_the_name():
    assert not set(WOMEN) & set(MEN)
    for row in rows_of("pronouns"):
        for prompt, pronoun in ((row.clean, row.target), (row.counterfactual, row.against)):
            (name,) = [word for word in re.findall(r"\w+", prompt) if word in WOMEN + MEN]
            assert pronoun == (" she" if name in WOMEN else " he")


def test_past_tenses_differ_from_the_verb_and_from_the_examples():
    assert len(set(PAST.values())) == len(PAST)
    assert not set(PAST) & set(PAST.values())
    assert not set(PAST) & set(re.findall(r"\w+", EXAMPLES))
    for row in rows_of("past-tense"):
        for prompt, answer in ((row.clean, row.target), (row.counterfactual, row.against)):
            verb = re.fullmatch(re.escape(EXAMPLES) + r" Today I (\w+), yesterday I", prompt)[1]
            assert answer == f" {PAST[verb]}"
