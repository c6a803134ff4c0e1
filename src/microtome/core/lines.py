"""Progress in plain lines, for standard error that is no terminal: a log shows how far long work is."""

import time
from collections.abc import Callable
from dataclasses import dataclass

QUIET_FOR, EVERY = 5.0, 15.0
"""Seconds: no line before the first, then one at most so often."""


@dataclass
class _Piece:
    """One piece of work under way."""

    label: str
    total: int | None
    began: float
    done: int = 0
    words: str = ""

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        return f"{self.label}: {self.done:,}{of}" + (f" ({self.words})" if self.words else "")

    def left(self, now: float) -> float | None:
        """Seconds, where that can be told."""
        if not self.done or self.total is None:
            return None
        return (now - self.began) / self.done * (self.total - self.done)


class InLines:
    """Writes a line now and then: every piece under way, and the time left of the outermost that can tell.

    Args:
        write: takes a line.
        clock: seconds, rising.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._write, self._clock = write, clock
        self._pieces: dict[int, _Piece] = {}
        self._started = 0
        self._next = 0.0

    def start(self, label: str, total: int | None) -> int:
        """A piece of work begins."""
        if not self._pieces:
            self._next = self._clock() + QUIET_FOR
        self._started += 1
        self._pieces[self._started] = _Piece(label, total, self._clock())
        self._tell()
        return self._started

    def advance(self, handle: int, steps: int = 1) -> None:
        """So many steps of it are done."""
        self._pieces[handle].done += steps
        self._tell()

    def say(self, handle: int, text: str) -> None:
        """How it goes."""
        self._pieces[handle].words = text
        if text and not self._pieces[handle].done:  # said before the work: what it will take
            self._next = self._clock()
            self._tell()

    def finish(self, handle: int) -> None:
        """It ended."""
        del self._pieces[handle]

    def _tell(self) -> None:
        now = self._clock()
        if now < self._next:
            return
        self._next = now + EVERY
        told = [left for piece in self._pieces.values() if (left := piece.left(now)) is not None]
        end = f"; about {_lasting(told[0])} left" if told else ""
        self._write(", ".join(map(str, self._pieces.values())) + end)


def _lasting(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
