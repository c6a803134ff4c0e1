"""`microtome list`: what can be named."""

from typing import Annotated, Any

import typer

from microtome.cli.app import main
from microtome.cli.kinds import HOMES, registry_of
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say
from microtome.core.errors import UnknownName
from microtome.core.progress import working


@main.command("list", short_help="Show what can be named: models, tasks, …", epilog="Example: microtome list task")
def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(HOMES)}; none shows the kinds.")] = None,
    as_json: AsJson = False,
) -> None:
    """What can be named: models, families, tasks, corpora, architectures, metrics, and whatever else is chosen."""
    if kind is None:
        rows = [{"name": one, "summary": what, "home": home} for one, (home, _, what) in HOMES.items()]
    elif kind in HOMES:
        rows = _entries(kind)
    else:
        raise UnknownName("kind of entry", kind, HOMES, do="run `microtome list` to see all kinds")
    title = kind or "kind"
    if as_json:
        give({title: rows})
        return
    width = max(len(row["name"]) for row in rows)
    say("\n".join([title, *(f"  {row['name']:{width}}  {row['summary']}" for row in rows)]))
    if kind is None:
        say("\n`microtome list KIND` shows what there is of one.")


def _entries(kind: str) -> list[dict[str, Any]]:
    with working(f"importing {HOMES[kind][0]}"):
        return [{"name": entry.name, "summary": entry.summary, "home": entry.home} for entry in registry_of(kind)]
