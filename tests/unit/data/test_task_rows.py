"""Rows hold any Unicode text and refuse what no metric could use; messages are tested whole."""

import pytest

from microtome.core.errors import WrongUse
from microtome.data.row import Row, members, shortened


def test_an_answer_is_one_text_or_several():
    row = Row("from 17", "from 12", target=("7", "8"), against="2")
    assert members(row.target) == ("7", "8")
    assert members(row.against) == ("2",)
    assert row.to_dict() == {
        "clean": "from 17",
        "counterfactual": "from 12",
        "target": ["7", "8"],
        "against": "2",
    }


def test_leading_spaces_are_kept():
    assert Row("a", "b", " Paris", "Paris").to_dict()["target"] == " Paris"


@pytest.mark.parametrize(
    "fields, found, do",
    [
        (("", "b", "x", "y"), "'clean' is empty", "give 'clean' a text"),
        (("a", "b", ("x", ""), "y"), "'target' is empty", "give 'target' a text"),
        (
            ("same", "same", "x", "y"),
            "'clean' and 'counterfactual' are both 'same'",
            "change the fact in 'counterfactual' that turns the answer round",
        ),
        (("a", "b", "x", "x"), "target 'x' against 'x'", "give each at least one answer, and no answer twice"),
        (
            ("a", "b", ("x", "z"), ("y", "z")),
            "target ('x', 'z') against ('y', 'z')",
            "give each at least one answer, and no answer twice",
        ),
        (
            ("a", "b", ("x", "x"), "y"),
            "target ('x', 'x') against 'y'",
            "give each at least one answer, and no answer twice",
        ),
        (
            ("a", "b", "x", ()),
            "target 'x' against ()",
            "give each at least one answer, and no answer twice",
        ),
        (
            ("a", "b\ud800c", "x", "y"),
            "'counterfactual' is 'b\\ud800c', which is no Unicode text (character 1)",
            "replace the broken character in 'counterfactual'",
        ),
    ],
)
def test_what_no_metric_could_use_is_refused(fields, found, do):
    with pytest.raises(WrongUse) as caught:
        Row(*fields)
    assert str(caught.value) == f"make a row of a task\n  found: {found}\n  do:    {do}"


def test_messages_show_long_texts_shortened_and_escaped():
    assert shortened("short") == "'short'"
    assert shortened("x\n" * 100, limit=4) == "'x\\nx\\n…'"
