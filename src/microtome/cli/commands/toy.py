"""`microtome toy`: toy models of superposition; `figures` makes the papers' figures again."""

import os
from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome toy figures --out toy"
group = typer.Typer(help="Toy models of superposition.", no_args_is_help=True, epilog=EXAMPLE)
main.add_typer(group, name="toy", short_help="Toy models of superposition.")


@group.command(short_help="Make the papers' figures again.", epilog=EXAMPLE)
def figures(
    names: Annotated[
        list[str] | None, typer.Argument(help="Which: see `microtome list figure`; all by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for pictures, records and the page.")] = Path("toy"),
    full: Annotated[bool, typer.Option("--full", help="Full sizes: hours, not minutes.")] = False,
    processes: Annotated[int | None, typer.Option(min=1, help="Figures made at once; one a core by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Makes the figures and says of each claim what the paper found and what this run found; stopped, it goes on."""
    from microtome.report.reproduced import counted, reproduce

    made = reproduce(out, names, full=full, processes=processes or os.cpu_count() or 1)
    for one in made:
        say(f"{one.name} ({one.seconds:,.0f} s)", as_json=as_json)
        for row in one.rows:
            say(f"  {'agrees' if row.agrees else 'DIFFERS'}  {row.claim}: {row.here}", as_json=as_json)
    say(f"{counted(made)}\npage: {out / 'index.html'}", as_json=as_json)
    if as_json:
        give({"figures": [one.to_dict() for one in made]})
