"""The group `microtome bench`: suites whose truth is known, a command each."""

import typer

from microtome.cli.app import main

group = typer.Typer(
    help="Hold methods to what is known to be there.", no_args_is_help=True,
    epilog="Example: microtome bench dictionaries --out planted",
)  # fmt: skip
main.add_typer(group, name="bench", short_help="Hold methods to what is known to be there.")


@group.callback()
def suites() -> None:
    """Holds methods to what is known to be there."""
