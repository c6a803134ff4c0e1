"""`microtome inspect`: what a model is, which sites it has, and how exactly it can be looked into; or a store."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say
from microtome.core.errors import CheckFailed


@main.command(
    short_help="Show what a model is, and how exactly it can be looked into; or check a store.",
    epilog="Example: microtome inspect smollm2",
)
def inspect(
    model: Annotated[
        str, typer.Argument(help="A name, a folder, a .gguf file or a hub id; or what `microtome harvest` made.")
    ],
    as_json: AsJson = False,
) -> None:
    """Opens a model and shows its certificate: every figure measured on it at opening, with its tolerance.

    Of a store of activations it reads every byte, and compares it with what was written. Leaves with 4 where a check
    failed.
    """
    import microtome as mt
    from microtome.activations.store import is_store

    if is_store(model):
        _store(Path(model), as_json)
        return
    opened = mt.open(model)
    certificate = opened.certificate
    if certificate is None:
        raise CheckFailed(f"inspect {model!r}", found="a model opened without its certificate", do="open it again")
    if as_json:
        shown = certificate.to_dict()
        give({"model": opened.card, "n_layers": opened.n_layers, "sites": opened.sites(), "certificate": shown})
    else:
        say(f"{opened}\nsites: {' '.join(opened.patterns())}\n\n{certificate}")
    certificate.require()


def _store(path: Path, as_json: bool) -> None:
    from microtome.activations.store import open_store

    store = open_store(path)
    store.verify()
    say(f"{store.summary()}\n  every byte is as it was written", as_json=as_json)
    if as_json:
        give({"path": str(store.path), "sites": dict(store.widths), **store.card})
