"""Progress in lines, by a clock that the test moves."""

import pytest

from microtome.core.lines import EVERY, QUIET_FOR, InLines


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_work_that_is_soon_done_writes_nothing(clock):
    lines = []
    shown = InLines(lines.append, clock)
    handle = shown.start("tracing", 3)
    for _ in range(3):
        clock.now += 1
        shown.advance(handle)
    shown.finish(handle)
    assert lines == []


def test_long_work_says_how_far_it_is_and_how_long_it_takes(clock):
    lines = []
    shown = InLines(lines.append, clock)
    outer = shown.start("proving ioi", 40)
    for _ in range(4):
        clock.now += 6
        shown.advance(outer)
    assert lines == ["proving ioi: 1 of 40; about 4 min left", "proving ioi: 4 of 40; about 4 min left"]


def test_pieces_inside_are_named_while_the_outer_one_stands(clock):
    lines = []
    shown = InLines(lines.append, clock)
    outer, inner = shown.start("tracing", 3), shown.start("edges", 8)
    clock.now = QUIET_FOR + 1
    shown.advance(inner, 2)
    shown.say(inner, "down")
    clock.now += EVERY
    shown.advance(inner)
    assert lines == [
        "tracing: 0 of 3, edges: 2 of 8; about 18 s left",
        "tracing: 0 of 3, edges: 3 of 8 (down); about 35 s left",
    ]
    shown.finish(inner)
    clock.now += EVERY
    shown.advance(outer)
    assert lines[2:] == ["tracing: 1 of 3; about 72 s left"]


def test_what_work_will_take_is_written_at_once(clock):
    lines = []
    shown = InLines(lines.append, clock)
    shown.say(shown.start("tracing", 3), "about 40 s and 1.1 GB")
    assert lines == ["tracing: 0 of 3 (about 40 s and 1.1 GB)"]


def test_work_without_an_end_says_what_is_done(clock):
    lines = []
    shown = InLines(lines.append, clock)
    handle = shown.start("downloading", None)
    clock.now = 1000.0
    shown.advance(handle, 5000)
    assert lines == ["downloading: 5,000"]
