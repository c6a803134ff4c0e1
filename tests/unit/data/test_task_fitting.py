"""Fitting, on tokenizers small enough to see why each row falls.

`words` cuts at words, each with the space before it, and every digit alone; `letters` cuts at
every character, so that nothing but digits is a single token.
"""

import re
import zlib

import pytest

from microtome.core.errors import WrongUse
from microtome.data import fitting as reasons
from microtome.data.fitting import misfit
from microtome.data.names import WOMEN
from microtome.data.row import Row
from microtome.data.task import PATIENCE, TASKS, Task, fitting, task


def words(text: str) -> list[int]:
    return [zlib.crc32(piece.encode()) for piece in re.findall(r" ?[^\W\d]+|\d| ?[^\w\s]|\s", text)]


def letters(text: str) -> list[int]:
    return [ord(character) for character in text]


def pairs_of_digits(text: str) -> list[int]:
    return [zlib.crc32(piece.encode()) for piece in re.findall(r" ?[^\W\d]+|\d{1,3}|\s", text)]


def lower_case(text: str) -> list[int]:
    return words(text.lower())


FITS = Row("The cap of France is", "The cap of Spain is", " Paris", " Madrid")

CASES = [
    (FITS, words, None),
    (Row("to 17", "to 12", ("3", "4"), ("1", "2")), words, None),
    (Row("The cap of France is", "The cap of the Netherlands is", " a", " b"), words, reasons.UNEQUAL),
    (Row("of France", "of france", " a", " b"), lower_case, reasons.SAME),
    (Row("of France", "of Spain", " New Delhi", " b"), words, reasons.SEVERAL),
    (Row("of France", "of Spain", (" a", " New Delhi"), " b"), words, reasons.SEVERAL),
    (Row("of France", "of Spain", " b", (" a", " New Delhi")), words, reasons.SEVERAL),
    (Row("of France", "of Spain", " a", " A"), lower_case, reasons.SHARED),
    (Row("of France", "of Spain", (" a", " A"), " b"), lower_case, reasons.SHARED),
    (Row("to 17", "to 12", "3", "4"), pairs_of_digits, reasons.MERGES),
    (Row("of France", "of Spain", "land", "ish"), words, reasons.MERGES),
    (Row("of France ", "of Spain", " a", " b"), words, reasons.UNEQUAL),
]


@pytest.mark.parametrize("row, tokens, reason", CASES)
def test_each_reason_for_a_misfit(row, tokens, reason):
    assert misfit(row, tokens) == reason


def test_an_answer_that_merges_with_only_the_counterfactual_is_seen():
    row = Row("the year 17 to", "the year to 17", "3", "4")
    assert misfit(row, pairs_of_digits) == reasons.MERGES


def test_a_tokenizer_that_adds_a_special_token_fits_nothing():
    assert misfit(FITS, lambda text: [0, *words(text)]) == reasons.SEVERAL


def test_what_is_dropped_is_counted_by_reason_and_the_order_kept():
    rows = tuple(row for row, tokens, _ in CASES if tokens is words)
    kept, dropped = fitting(Task("mine", rows, source="here", seed=None, version=0), words)
    assert kept.rows == rows[:2]
    assert dropped == {reasons.SEVERAL: 3, reasons.UNEQUAL: 2, reasons.MERGES: 1}
    assert list(dropped.values()) == [3, 2, 1]
    assert fitting(kept, words) == (kept, {})


def test_a_task_that_does_not_fit_at_all_says_why():
    with pytest.raises(WrongUse) as caught:
        fitting(Task("mine", (FITS, CASES[4][0]), source="here", seed=None, version=0), letters)
    assert str(caught.value) == (
        "fit the task 'mine' to a tokenizer\n"
        "  found: none of its 2 rows fits (2: the two prompts differ in their number of tokens)\n"
        "  do:    write rows for this tokenizer: prompts of equal length, answers of one token"
    )


@pytest.mark.parametrize("name", [entry.name for entry in TASKS])
def test_every_generator_suits_a_tokenizer_of_words_and_digits(name):
    _, dropped = fitting(task(name, n=80), words)
    assert dropped == {}


def short_names(text: str) -> list[int]:
    """Like `words`, but words of six letters or more are several tokens."""
    return words(re.sub(r"([^\W\d]{3})(?=[^\W\d]{3})", r"\1-", text))


def test_with_a_tokenizer_the_front_door_draws_until_n_rows_fit():
    plain = task("capitals", n=15, seed=3)
    suited = task("capitals", n=15, seed=3, tokens=short_names)
    assert len(suited) == 15
    assert fitting(suited, short_names)[1] == {}
    assert any(misfit(row, short_names) for row in plain.rows)
    drawn = tuple(TASKS.get("capitals").candidates(3))
    fits = [place for place, row in enumerate(drawn) if misfit(row, short_names) is None][:15]
    assert suited.rows == tuple(drawn[place] for place in fits)
    assert suited.source == (
        f"microtome.data.tasks.capitals, {fits[-1] + 1 - 15} of {fits[-1] + 1} rows drawn did not fit"
    )


def test_too_few_rows_that_fit_say_how_many_there_are():
    with pytest.raises(WrongUse) as caught:
        task("capitals", n=1000, tokens=short_names)
    message = str(caught.value)
    found = int(re.search(r"found: (\d+) of the 1122 rows drawn fit the tokenizer \(", message)[1])
    assert message.endswith(f"do:    ask for n={found} or fewer")
    assert len(task("capitals", n=found, tokens=short_names)) == found


def test_a_tokenizer_that_no_row_fits_is_given_up_soon():
    with pytest.raises(WrongUse) as caught:
        task("ioi", n=1, tokens=lambda text: [0, *words(text)])
    assert str(caught.value) == (
        "make 1 rows of the task 'ioi'\n"
        "  found: 0 of the 2000 rows drawn fit the tokenizer (2000: an answer is not one token)\n"
        "  do:    choose another task, or write rows for this tokenizer"
    )


def test_a_tokenizer_that_few_rows_fit_is_not_given_up():
    """Three names of 26 are one token, so most rows fall, but never all of a long stretch."""
    rare = re.compile("|".join(WOMEN[3:]))
    suited = task("ioi", n=300, tokens=lambda text: words(rare.sub("Mar-tha", text)))
    dropped = int(re.search(r"(\d+) of \d+ rows drawn", suited.source)[1])
    assert dropped > PATIENCE


def test_the_rows_of_a_file_are_fitted_too(tmp_path):
    path = tmp_path / "mine.jsonl"
    Task("x", (FITS, CASES[1][0], CASES[4][0]), source="", seed=None, version=0).to_jsonl(path)
    kept = task(path, tokens=words)
    assert kept.rows == (FITS, CASES[1][0])
    assert kept.source == f"{path}, 1 of 3 rows did not fit"
    with pytest.raises(WrongUse) as caught:
        task(path, n=3, tokens=words)
    assert str(caught.value) == (
        f"draw 3 rows from {path}\n  found: 2 rows that fit, of 3\n  do:    ask for n=2 or fewer"
    )
