"""`microtome list`: what can be named."""

from importlib import import_module
from typing import Annotated, Any

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson
from microtome.cli.saying import give, say
from microtome.core.errors import UnknownName
from microtome.core.progress import working
from microtome.core.registry import Registry

# Kind: the folder whose import fills the registry, the module that holds it, its name there.
HOMES = {
    "architecture": ("microtome.dictionary.architectures", "microtome.dictionary.architecture", "ARCHITECTURES"),
    "baseline": ("microtome.dictionary.baselines", "microtome.dictionary.baseline", "BASELINES"),
    "basis": ("microtome.circuit.bases", "microtome.circuit.basis", "BASES"),
    "check": ("microtome.train.doctor", "microtome.train.doctor.check", "CHECKS"),
    "corpus": ("microtome.data.corpora", "microtome.data.corpus", "CORPORA"),
    "family": ("microtome.model.families", "microtome.model.family", "FAMILIES"),
    "figure": ("microtome.toy.figures", "microtome.toy.reproduction", "FIGURES"),
    "format": ("microtome.dictionary.formats", "microtome.dictionary.format", "FORMATS"),
    "method": ("microtome.circuit.patching.methods", "microtome.circuit.patching.method", "METHODS"),
    "metric": ("microtome.metrics", "microtome.metrics.metric", "METRICS"),
    "model": ("microtome.model.sources", "microtome.model.sources.named", "NAMED"),
    "panel": ("microtome.view.panels", "microtome.view.panel", "PANELS"),
    "patching-metric": ("microtome.circuit.patching", "microtome.circuit.patching.rows", "METRICS"),
    "program": ("microtome.toy.compiled", "microtome.toy.compiled.programs", "PROGRAMS"),
    "rule": ("microtome.circuit", "microtome.circuit.attribution", "RULES"),
    "task": ("microtome.data.tasks", "microtome.data.generator", "TASKS"),
    "trained-network": ("microtome.toy", "microtome.toy.known", "TRAINED"),
}


@main.command("list", short_help="Show what can be named: models, tasks, …", epilog="Example: microtome list task")
def list_(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(HOMES)}; all where none is given.")] = None,
    as_json: AsJson = False,
) -> None:
    """What can be named: models, families, tasks, corpora, architectures, metrics, and whatever else is chosen."""
    if kind is not None and kind not in HOMES:
        raise UnknownName("kind of entry", kind, HOMES, do="run `microtome list` to see all kinds")
    found = {one: _rows(one) for one in ([kind] if kind else HOMES)}
    if as_json:
        give(found)
        return
    width = max(len(row["name"]) for rows in found.values() for row in rows)
    for one, rows in found.items():
        say("\n".join([one, *(f"  {row['name']:{width}}  {row['summary']}" for row in rows)]))


def _rows(kind: str) -> list[dict[str, Any]]:
    folder, module, name = HOMES[kind]
    with working(f"importing {folder}"):
        import_module(folder)
        registry: Registry[Any] = vars(import_module(module))[name]
    return [{"name": entry.name, "summary": entry.summary, "home": entry.home} for entry in registry]
