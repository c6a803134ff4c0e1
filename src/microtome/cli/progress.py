"""Progress on standard error: shown to a person at a terminal, for work that takes over a second."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TaskID as Handle

from microtome.core.progress import shown_by

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


@contextmanager
def progress_on_stderr() -> Iterator[None]:
    """Long work inside shows itself; where standard error is no terminal nothing is shown."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    told = TextColumn("{task.fields[said]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), told)
    # Standard output is left alone: rich would wrap it and send it to the terminal, also where it is a file.
    bars = Bars(*columns, console=console, transient=True, refresh_per_second=5, redirect_stdout=False)
    try:
        with shown_by(OnTerminal(bars)):
            yield
    finally:
        bars.stop()
