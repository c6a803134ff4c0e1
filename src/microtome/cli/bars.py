"""Bars of long work on a terminal: one line a piece of work."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.progress import Progress
from rich.progress import TaskID as Handle

PATIENCE = 1.0  # seconds of silence


class Bars(Progress):
    """One line a piece of work, and none for what is quick."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """The lines of what has taken long enough."""
        yield self.make_tasks_table(task for task in self.tasks if (task.elapsed or 0.0) > PATIENCE)


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
        self._bars.advance(Handle(handle), steps)

    def say(self, handle: int, text: str) -> None:
        """Puts words after its bar."""
        self._bars.update(Handle(handle), said=text)

    def finish(self, handle: int) -> None:
        """Takes the line away."""
        self._bars.remove_task(Handle(handle))
        if not self._bars.tasks:
            self._bars.stop()
