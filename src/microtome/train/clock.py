"""When the next checkpoint is due: after minutes, or after a span of the run."""

import re
import time

from microtome.train.schedule import crossed
from microtome.train.span import tokens_of

_MINUTES = re.compile(r"(\d+(?:\.\d+)?)\s*minutes?")


class Clock:
    """Says when a checkpoint is due.

    Args:
        every: `10 minutes`, or a span: see `train.span`.
        run: tokens of the run.

    Raises:
        WrongUse: `every` is written otherwise.
    """

    def __init__(self, every: str, run: int):
        minutes = _MINUTES.fullmatch(every.strip())
        self._seconds = 60 * float(minutes[1]) if minutes else None
        self._tokens = 0 if minutes else tokens_of(every, run)
        self._last = time.monotonic()
        self._before = 0

    def due(self, at: int) -> bool:
        """Whether it is, `at` tokens having been learned; asked once a step."""
        before, self._before = self._before, at
        if self._seconds is None:
            return crossed(self._tokens, before, at)
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True
