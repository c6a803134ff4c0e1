"""The application around the commands, with its global options."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.failing import Commands
from microtome.core.artefact import library_versions
from microtome.core.registry import import_siblings

main = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


def show_version(asked: bool) -> bool:
    """Prints the version and leaves, where that was asked."""
    if asked:
        typer.echo(f"microtome {library_versions()['microtome']}")
        raise typer.Exit
    return asked


@main.callback(epilog='Example: microtome trace "The capital of France is" --target " Paris" --out france.html')
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Opens a neural network, shows which of its units produced an output, and proves it against nulls."""


import_siblings("microtome.cli.commands", [str(Path(__file__).parent / "commands")])
