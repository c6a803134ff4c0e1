"""`microtome cache`: where it is, how large it is, and clearing it."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say


@main.command(short_help="Show what the cache holds, or clear it.", epilog="Example: microtome cache --clear")
def cache(
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove what is made again when it is needed. Dictionaries stay.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Where the cache is and how large each part of it is. The variable MICROTOME_CACHE moves it to another folder."""
    from microtome.model.sources import cache_contents

    shown = cache_contents.clear() if clear else cache_contents.contents()
    if as_json:
        give({"cleared": clear, **shown.to_dict()})
        return
    say(f"removed from {shown}" if clear else shown)
