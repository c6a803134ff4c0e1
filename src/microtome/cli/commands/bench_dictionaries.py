"""`microtome bench dictionaries`: every architecture, and every null, on activations whose features are known."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.benching import group
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome bench dictionaries --out planted"


@group.command(short_help="Hold dictionary architectures to planted features.", epilog=EXAMPLE)
def dictionaries(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which: see `microtome list architecture`; all by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for scores, the page and its pictures.")] = Path("planted"),
    kind: Annotated[list[str] | None, typer.Option(help="Of planted activations; repeat; all by default.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="How many.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two kinds, two seeds, short runs: a look, no verdict.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Says how much of what was planted each recovers, and where they differ beyond reseeding; stopped, it goes on."""
    from dataclasses import replace

    from microtome.bench.planted.config import QUICK, SuiteConfig
    from microtome.bench.planted.verdicts import RECOVERED
    from microtome.report.planted import PAGE, as_record, planted_report

    config = QUICK if quick else SuiteConfig()
    config = replace(config, kinds=tuple(kind) if kind else config.kinds, seeds=seeds or config.seeds)
    scores, found = planted_report(out, config, names)
    for one in found.standings:
        say(one.figures[RECOVERED.name], as_json=as_json)
    for one in config.kinds:
        pairs = found.differing(one, RECOVERED.name)
        say(f"{one}: {len(pairs)} pairs of architectures differ in {RECOVERED.words} beyond reseeding", as_json=as_json)
    say(f"page: {out / PAGE}", as_json=as_json)
    if as_json:
        give(as_record(scores, found))
