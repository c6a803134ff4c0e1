"""`microtome compare`: whether one way of making dictionaries explains more than another, beyond reseeding."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome compare --a topk-0 --a topk-1 --b jumprelu-0 --b jumprelu-1 --store store"
Seeds = list[Path]


@main.command(short_help="Rank two ways of making dictionaries, or refuse to.", epilog=EXAMPLE)
def compare(
    a: Annotated[Seeds, typer.Option("--a", help="A dictionary of the first way; at least two, of different seeds.")],
    b: Annotated[Seeds, typer.Option("--b", help="A dictionary of the second way; likewise.")],
    store: Annotated[Path, typer.Option(help="Activations of their sites.")] = Path("store"),
    whole: Annotated[bool, typer.Option("--whole", help="All documents, not the tenth held out.")] = False,
    as_json: AsJson = False,
) -> None:
    """Says which explains more variance, where the difference lies outside the noise of reseeding."""
    from microtome.activations.store import open_store
    from microtome.bench.comparing import compare as run
    from microtome.dictionary.exchange import load_dictionary

    measured = open_store(store) if whole else open_store(store).split()[1]
    found = run([load_dictionary(path) for path in a], [load_dictionary(path) for path in b], measured)
    say(found.words, as_json=as_json)
    if as_json:
        give({"a": found.a, "b": found.b, "difference": found.difference.to_dict(), "words": found.words})
