"""Work reports its steps to whoever listens, and always says that it ended."""

import pytest

from microtome.core.progress import Progress, Silent, shown_by, track, working


class Heard:
    def __init__(self):
        self.said = []

    def start(self, label: str, total: int | None) -> int:
        self.said.append(("start", label, total))
        return len(self.said)

    def advance(self, handle: int, steps: int = 1) -> None:
        self.said.append(("advance", handle, steps))

    def say(self, handle: int, text: str) -> None:
        self.said.append(("say", handle, text))

    def finish(self, handle: int) -> None:
        self.said.append(("finish", handle))


def test_a_step_is_reported_after_each_item():
    heard = Heard()
    with shown_by(heard):
        for item in track(["a", "b"], "reading"):
            heard.said.append(item)
    assert heard.said == [
        ("start", "reading", 2), "a", ("advance", 1, 1), "b", ("advance", 1, 1), ("finish", 1),
    ]  # fmt: skip


def test_a_stream_of_unknown_length_has_no_total():
    heard = Heard()
    with shown_by(heard):
        assert list(track((i for i in range(3)), "reading")) == [0, 1, 2]
    assert heard.said[0] == ("start", "reading", None)


def test_work_that_fails_has_ended():
    heard = Heard()

    def work():
        with shown_by(heard), working("dividing", 5) as step:
            step(2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert heard.said == [("start", "dividing", 5), ("advance", 1, 2), ("finish", 1)]


def test_afterwards_nobody_listens():
    heard = Heard()
    with shown_by(heard):
        pass
    list(track([1], "quiet"))
    assert heard.said == []
    assert isinstance(Silent(), Progress)
    assert isinstance(heard, Progress)


def test_work_says_how_it_goes():
    heard = Heard()
    with shown_by(heard), working("fitting") as step:
        step.say("loss 0.5")
    assert ("say", 1, "loss 0.5") in heard.said
