"""The front door and what a task can do: names, files, halves, subsets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtome.core.errors import NotFound, UnknownName, WrongUse
from microtome.data.row import Row
from microtome.data.task import Task, task


def numbered(count: int) -> Task:
    rows = tuple(Row(f"clean {i}", f"other {i}", " yes", " no") for i in range(count))
    return Task("numbered", rows, source="here", seed=None, version=0)


def test_a_name_gives_fifty_rows_of_seed_zero():
    made = task("capitals")
    assert (made.name, len(made), made.seed, made.version) == ("capitals", 50, 0, 1)
    assert made.source == "microtome.data.tasks.capitals"
    assert made == task("capitals", n=50, seed=0)


def test_a_task_says_what_it_is_in_one_line():
    assert repr(numbered(1)) == "Task('numbered': 1 row, from here; first 'clean 0')"
    assert repr(task("ioi", n=2, seed=3)).startswith("Task('ioi': 2 rows, seed 3, from microtome.data")


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(UnknownName) as caught:
        task("capital")
    assert str(caught.value) == (
        "no task is called 'capital'\n"
        "  found: 'capital'; the closest are 'capitals'\n"
        "  do:    choose one that `microtome list task` shows, or give a path that ends in .jsonl"
    )


def test_more_rows_than_there_are_say_how_many_there_are():
    with pytest.raises(WrongUse) as caught:
        task("capitals", n=5000)
    assert str(caught.value) == (
        "make 5000 rows of the task 'capitals'\n"
        "  found: it can make 1122 distinct rows\n"
        "  do:    ask for n=1122 or fewer"
    )
    assert len(task("capitals", n=1122)) == 1122


@pytest.mark.parametrize("n", [0, -3])
def test_a_task_of_no_rows_cannot_be_asked_for(n):
    with pytest.raises(WrongUse) as caught:
        task("ioi", n=n)
    assert str(caught.value) == f"make the task 'ioi'\n  found: n={n}\n  do:    ask for n=1 or more"


def test_a_file_gives_all_its_rows_in_order(tmp_path):
    path = numbered(70).to_jsonl(tmp_path / "my rows.jsonl")
    read = task(str(path))
    assert read == Task("my rows", numbered(70).rows, source=str(path), seed=None, version=0)
    assert read.fingerprint == numbered(70).fingerprint


def test_a_lone_pair_of_brackets_makes_a_set_of_answers(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps({"clean": "a", "counterfactual": "b", "target": ["x", "y"], "against": "z"}))
    assert task(path).rows == (Row("a", "b", ("x", "y"), "z"),)


def test_fewer_rows_of_a_file_are_drawn_by_the_seed(tmp_path):
    path = numbered(30).to_jsonl(tmp_path / "rows.jsonl")
    ten = task(path, n=10, seed=1)
    assert len(set(ten.rows)) == 10
    assert ten.seed == 1
    assert task(path, n=20, seed=1).rows[:10] == ten.rows
    assert task(path, n=10, seed=2).rows != ten.rows
    with pytest.raises(WrongUse) as caught:
        task(path, n=31)
    assert str(caught.value) == f"draw 31 rows from {path}\n  found: 30 rows\n  do:    ask for n=30 or fewer"


def test_a_missing_file_is_not_taken_for_a_name(tmp_path):
    with pytest.raises(NotFound, match="no such file"):
        task(tmp_path / "gone.jsonl")


def test_the_fingerprint_is_of_the_rows_and_of_their_order():
    whole = numbered(4)
    assert whole.fingerprint == numbered(4).fingerprint
    assert Task("other name", whole.rows, "elsewhere", 7, 3).fingerprint == whole.fingerprint
    assert Task("numbered", whole.rows[::-1], "here", None, 0).fingerprint != whole.fingerprint
    joined = Task("n", (Row("a", "b", "x", "y"),), "", None, 0)
    assert joined.fingerprint != Task("n", (Row("a", "b", ("x", "z"), "y"),), "", None, 0).fingerprint


def test_a_task_without_rows_or_with_one_twice_is_refused():
    with pytest.raises(WrongUse) as caught:
        Task("mine", (), source="here", seed=None, version=0)
    assert str(caught.value) == "make the task 'mine'\n  found: no row\n  do:    give it at least one row"
    row = Row("a", "b", "x", "y")
    with pytest.raises(WrongUse) as twice:
        Task("mine", (row, Row("c", "b", "x", "y"), row), source="here", seed=None, version=0)
    assert str(twice.value) == (
        "make the task 'mine'\n"
        "  found: 2 times the row 'a'\n"
        "  do:    remove the repetitions; a row that counts twice makes intervals too narrow"
    )


def test_where_keeps_the_rows_asked_for():
    kept = numbered(4).where([False, True, False, True])
    assert [row.clean for row in kept.rows] == ["clean 1", "clean 3"]
    assert (kept.name, kept.source) == ("numbered", "here")


@pytest.mark.parametrize(
    "keep, found",
    [
        ([True], "1 values, 1 of them true, for 2 rows"),
        ([False, False], "2 values, 0 of them true, for 2 rows"),
    ],
)
def test_where_refuses_a_wrong_length_and_an_empty_result(keep, found):
    with pytest.raises(WrongUse) as caught:
        numbered(2).where(keep)
    assert str(caught.value) == (
        "keep some rows of the task 'numbered'\n"
        f"  found: {found}\n"
        "  do:    give one value for each row, at least one of them true"
    )


@given(st.integers(2, 60), st.integers(0, 5))
def test_halves_share_no_row_and_lose_none(count, seed):
    whole = numbered(count)
    first, second = whole.halves(seed)
    assert set(first.rows) | set(second.rows) == set(whole.rows)
    assert not set(first.rows) & set(second.rows)
    assert len(first) - len(second) == count % 2
    for half in (first, second):
        assert [row for row in whole.rows if row in half.rows] == list(half.rows)
    assert whole.halves(seed) == (first, second)


def test_halves_are_drawn_and_not_cut_in_the_middle():
    whole = numbered(40)
    first, second = whole.halves()
    assert 5 < sum(row in first.rows for row in whole.rows[:20]) < 15
    assert whole.halves(seed=1)[0].rows != first.rows
    assert (first.source, second.source) == ("here, half a of seed 0", "here, half b of seed 0")


def test_a_single_row_cannot_be_halved():
    with pytest.raises(WrongUse) as caught:
        numbered(1).halves()
    assert str(caught.value) == ("halve the task 'numbered'\n  found: a single row\n  do:    give it two rows or more")
