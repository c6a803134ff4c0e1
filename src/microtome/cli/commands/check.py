"""`microtome check`: whether what a package registers keeps what entries of its kind promise."""

from dataclasses import asdict
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.kinds import HOMES, registry_of
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say
from microtome.core.progress import working


@main.command(short_help="Check what a package adds.", epilog="Example: microtome check my-package")
def check(
    package: Annotated[str, typer.Argument(help="An installed package with entry points in microtome.KIND.")],
    as_json: AsJson = False,
) -> None:
    """Puts every architecture, basis, family, format, method, metric and panel of a package through its battery."""
    with working("importing what it is checked with"):
        from microtome.bench.checks.packages import check as run
        from microtome.bench.checks.packages import require

    found = []
    for one in run(package, HOMES, registry_of):
        say(one, as_json=as_json)
        found.append(one)
    if as_json:
        give({"package": package, "checks": [asdict(one) | {"passed": one.passed} for one in found]})
    require(found, package)
