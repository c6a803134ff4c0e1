"""`microtome evidence`: the claims of a ledger, and whether their figures come out again."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome evidence show ledger"
group = typer.Typer(help="Claims that are stated before they are measured.", no_args_is_help=True, epilog=EXAMPLE)
main.add_typer(group, name="evidence", short_help="Show a ledger of claims, or measure it again.")
Folder = Annotated[Path, typer.Argument(help="The ledger's folder, as mt.Ledger keeps it.")]


@group.command(short_help="Show claims and where they stand.", epilog=EXAMPLE)
def show(folder: Folder, as_json: AsJson = False) -> None:
    """The claims of a ledger: open, supported, contradicted, or cannot be told, each with its reason."""
    from microtome.evidence.ledger import Ledger

    ledger = Ledger.load(folder)
    if as_json:
        give(ledger.to_dict())
        return
    say(ledger.summary())


@group.command(short_help="Measure again what a ledger records.", epilog="Example: microtome evidence verify ledger")
def verify(
    folder: Folder,
    model: Annotated[list[str] | None, typer.Option(help="A model without a short name; or several.")] = None,
    dictionary: Annotated[list[str] | None, typer.Option(help="A dictionary without a name; or several.")] = None,
    store: Annotated[list[Path] | None, typer.Option(help="A store of activations; or several.")] = None,
    as_json: AsJson = False,
) -> None:
    """Runs every recorded trace, proof and measurement again and compares the figures. No code in the folder is run."""
    from microtome.activations.store import open_store
    from microtome.bench.recorded import Here
    from microtome.bench.verifying import verify as run
    from microtome.dictionary.exchange import load_dictionary
    from microtome.model.opening import open as open_model

    here = Here(
        [open_model(one) for one in model or ()],
        [load_dictionary(one) for one in dictionary or ()],
        [open_store(one) for one in store or ()],
    )
    found = run(folder, here)
    say(found.summary(), as_json=as_json)
    if as_json:
        give(found.to_dict())
    found.require()
