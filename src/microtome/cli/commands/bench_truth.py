"""`microtome bench truth`: every method that looks for a circuit, on networks whose circuit is known."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.benching import group
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome bench truth activation eap-ig acdc --out truth"


@group.command(short_help="Hold circuit methods to known circuits.", epilog=EXAMPLE)
def truth(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Of `microtome list method`, 'neuron trace', 'dictionary trace', …; all by default."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for scores, the page and its picture.")] = Path("truth"),
    network: Annotated[
        list[str] | None, typer.Option(help="A program or a trained network: see `microtome list`; repeat.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Tasks a network; compiled ones are laid out anew.")] = 2,
    rows: Annotated[int, typer.Option(min=1, help="Pairs of inputs a network.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Says how much of circuits that are known each method finds, beside nulls; stopped, it goes on."""
    from microtome.bench.circuits.scoring import EDGES, LEVELS
    from microtome.bench.circuits.suite import SuiteConfig
    from microtome.report.circuits import PAGE, as_record, circuits_report

    config = SuiteConfig(networks=tuple(network or ()), seeds=seeds, rows=rows)
    scores, found = circuits_report(out, config, names)
    for level in LEVELS:
        for one in found:
            if made := one.figures.get((level, "recall" if level == EDGES else "auroc")):
                say(made, as_json=as_json)
    say(f"page: {out / PAGE}", as_json=as_json)
    if as_json:
        give(as_record(scores, found))
