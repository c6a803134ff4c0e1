"""Progress: what long work says about itself. The library reports steps; whoever runs it shows them."""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")


@runtime_checkable
class Progress(Protocol):
    """Receives the steps of long work."""

    def start(self, label: str, total: int | None) -> int:
        """A piece of work begins; returns a handle for it."""
        ...

    def advance(self, handle: int, steps: int = 1) -> None:
        """So many steps of it are done."""
        ...

    def say(self, handle: int, text: str) -> None:
        """How it goes, in a few words that replace those before."""
        ...

    def finish(self, handle: int) -> None:
        """It ended, done or not."""
        ...


class Silent:
    """Shows nothing: the default in a library."""

    def start(self, label: str, total: int | None) -> int:
        """Nothing to show."""
        return 0

    def advance(self, handle: int, steps: int = 1) -> None:
        """Nothing to show."""

    def say(self, handle: int, text: str) -> None:
        """Nothing to show."""

    def finish(self, handle: int) -> None:
        """Nothing to show."""


_CURRENT: ContextVar[Progress] = ContextVar("microtome_progress", default=Silent())  # noqa: B039 - it holds nothing


@contextmanager
def shown_by(progress: Progress) -> Iterator[None]:
    """Everything long inside reports to `progress`."""
    token = _CURRENT.set(progress)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def track(items: Iterable[T], label: str, total: int | None = None, before: str = "") -> Iterator[T]:
    """Iterates, reporting a step after each item; `before` says what all of it will take."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with working(label, total) as step:
        if before:
            step.say(before)
        for item in items:
            yield item
            step()


@contextmanager
def working(label: str, total: int | None = None) -> Iterator["Step"]:
    """One piece of long work; call what it gives once for every step done."""
    progress = _CURRENT.get()
    handle = progress.start(label, total)
    try:
        yield Step(progress, handle)
    finally:
        progress.finish(handle)


class Step:
    """Calling it reports one or more steps."""

    def __init__(self, progress: Progress, handle: int):
        self._progress, self._handle = progress, handle

    def __call__(self, steps: int = 1) -> None:
        """So many more steps are done."""
        self._progress.advance(self._handle, steps)

    def say(self, text: str) -> None:
        """How it goes, in a few words that replace those before."""
        self._progress.say(self._handle, text)
