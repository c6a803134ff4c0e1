"""The group `microtome train`: what is trained is its first word."""

import typer

from microtome.cli.app import main

group = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
main.add_typer(group, name="train", short_help="Train dictionaries.")
