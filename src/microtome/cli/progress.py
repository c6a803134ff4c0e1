"""Progress on standard error, for work that takes over a second: bars at a terminal, lines in a log."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import TaskID

from microtome.cli.bars import Bars
from microtome.core.lines import InLines
from microtome.core.progress import shown_by


class OnTerminal:
    """Shows steps as bars, and is not there between pieces of work: what a command prints then is left alone."""

    def __init__(self, bars: Bars):
        self._bars = bars

    def start(self, label: str, total: int | None) -> int:
        """A new line."""
        self._bars.start()
        return self._bars.add_task(label, total=total, said="")

    def advance(self, handle: int, steps: int = 1) -> None:
        """Moves its bar."""
        self._bars.advance(TaskID(handle), steps)

    def say(self, handle: int, text: str) -> None:
        """Puts words after its bar."""
        self._bars.update(TaskID(handle), said=text)

    def finish(self, handle: int) -> None:
        """Takes the line away."""
        self._bars.remove_task(TaskID(handle))
        if not self._bars.tasks:
            self._bars.stop()


@contextmanager
def progress_on_stderr() -> Iterator[None]:
    """Long work inside shows itself; where standard error is no terminal, by a line now and then."""
    console = Console(stderr=True)
    if not console.is_terminal:
        with shown_by(InLines(lambda line: typer.echo(line, err=True))):
            yield
        return
    bars = Bars(console)
    try:
        with shown_by(OnTerminal(bars)):
            yield
    finally:
        bars.stop()
