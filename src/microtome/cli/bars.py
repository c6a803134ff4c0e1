"""What a piece of long work looks like at a terminal: one line, once it has taken a second."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PATIENCE = 1.0  # seconds of silence


class Bars(Progress):
    """One line a piece of work, and none for what is quick: its name, a bar, how far, how long, and how it goes."""

    def __init__(self, console: Console):
        name, said = TextColumn("{task.description}"), TextColumn("{task.fields[said]}", markup=False)
        columns = (
            name,
            BarColumn(20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            said,
        )
        # Standard output is left alone: rich would wrap it and send it to the terminal, also where it is a file.
        super().__init__(*columns, console=console, transient=True, refresh_per_second=5, redirect_stdout=False)

    def get_renderables(self) -> Iterator[RenderableType]:
        """The lines of what has taken long enough."""
        yield self.make_tasks_table(task for task in self.tasks if (task.elapsed or 0.0) > PATIENCE)
