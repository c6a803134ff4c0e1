"""Progress on standard error: shown to a person at a terminal, for work that takes over a second."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from microtome.cli.bars import Bars, OnTerminal
from microtome.core.progress import shown_by


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
