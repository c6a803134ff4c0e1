"""The neutral prompts: enough, different, short, plain, and none that belongs to a task."""

from microtome.data.task import TASKS, task
from microtome.model.neutral import NEUTRAL


def test_there_are_forty_different_ones_of_a_few_dozen_words():
    assert len(set(NEUTRAL)) == len(NEUTRAL) == 40
    assert all(14 <= len(text.split()) <= 40 for text in NEUTRAL)


def test_they_are_plain_text_without_stray_spaces():
    for text in NEUTRAL:
        assert text.isascii()
        assert text == text.lstrip()
        assert "  " not in text.replace("    ", "")


def test_no_two_begin_alike():
    assert len({" ".join(text.split()[:3]) for text in NEUTRAL}) == len(NEUTRAL)


def test_none_belongs_to_a_task():
    for entry in TASKS:
        for row in task(entry.name, n=80).rows:
            start = " ".join(row.clean.split()[:3])
            assert not any(start in text for text in NEUTRAL)
