"""Stopping on request: Ctrl-C and SIGTERM wait for the step that is under way, so that its result is not lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM


class Stop:
    """Whether somebody asked, and how; asked a second time it stops at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Takes the signal."""
        if self.signal is not None:
            self.leave()
        self.signal = number

    def leave(self, kept: str = "nothing half-written") -> None:
        """Leaves as the signal would have.

        Args:
            kept: what is left of the work, and how to go on with it, for whoever pressed Ctrl-C.

        Raises:
            KeyboardInterrupt, SystemExit: always.
        """
        if self.signal == signal.SIGTERM:
            raise SystemExit(TERMINATED)
        raise KeyboardInterrupt(kept)


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """Inside, both signals are noted and not acted upon. Only Python's main thread hears signals at all."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
