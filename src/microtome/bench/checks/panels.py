"""What every panel promises: strict JSON from whole results, the results left as they were, a script that draws it."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from microtome.bench.checks.battery import Battery, Check, Complaints
from microtome.bench.checks.networks import CLEAN, OTHER, small_network
from microtome.circuit.proving import prove
from microtome.circuit.trace import trace
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import FormatError
from microtome.core.registry import Entry

KINDS = ("graph", "proof")


@runtime_checkable
class Panel(Protocol):
    """What is looked at; the class itself is of a room above."""

    title: str
    order: int
    takes: tuple[str, ...]
    build: Callable[..., dict[str, Any]]
    script: Path


@cache
def _results() -> dict[str, str]:
    """A graph and its proof as JSON, traced in a small random network."""
    model = small_network()
    first = trace(model, CLEAN, OTHER, 4, 5, max_nodes=40)
    falls = first.counterfactual_value is not None and first.value > first.counterfactual_value
    graph = first if falls else trace(model, CLEAN, OTHER, 5, 4, max_nodes=40)
    proof = prove(model, graph, (5, 20), 3, config=ProofConfig(floor=0.0))
    return {"graph": json.dumps(graph.to_dict()), "proof": json.dumps(proof.to_dict())}


def results(panel: Panel, *left_out: str) -> list[Any]:
    """What it takes, afresh; None for what is left out. A panel that names none is given all, by their kinds."""
    if not panel.takes:
        return [{name: json.loads(text) for name, text in _results().items()}]
    return [None if name in left_out else json.loads(_results()[name]) for name in panel.takes]


def is_one(entry: Entry[Panel]) -> Complaints:
    """A title, results that exist, and its own script."""
    panel = entry.value
    if not isinstance(panel, Panel):
        yield f"{panel!r} is no Panel"
        return
    if unknown := [name for name in panel.takes if name not in KINDS]:
        yield f"it takes {', '.join(unknown)}, where there are {', '.join(KINDS)}"
    if not panel.title.strip():
        yield "no title"
    if not panel.script.is_file():
        yield f"no script at {panel.script}"
    elif f'panel("{entry.name}"' not in panel.script.read_text(encoding="utf-8"):
        yield f'{panel.script.name} does not call panel("{entry.name}", …)'


def gives_strict_json(entry: Entry[Panel]) -> Complaints:
    """With all results, and with each alone: no NaN, and every key a text."""
    for given in _givens(entry.value):
        data = entry.value.build(*given)
        if not isinstance(data, dict):
            yield f"it gives a {type(data).__name__}, no object"
            continue
        try:
            text = json.dumps(data, allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"what it gives is no strict JSON: {error}"
        else:
            if json.loads(text) != json.loads(json.dumps(data)) or not all(isinstance(key, str) for key in data):
                yield "what it gives has keys that are no text"


def leaves_results_alone(entry: Entry[Panel]) -> Complaints:
    """What it was given is as it was."""
    for given in _givens(entry.value):
        before = copy.deepcopy(given)
        entry.value.build(*given)
        if given != before:
            yield "it changes the results that it is given"


def refuses_what_it_cannot_show(entry: Entry[Panel]) -> Complaints:
    """A result without its parts is a FormatError, never another."""
    for i, name in enumerate(entry.value.takes or KINDS):
        given: list[Any] = results(entry.value)
        if entry.value.takes:
            given[i] = {}
        else:
            given[0][name] = {}
        try:
            entry.value.build(*given)
        except FormatError:
            continue
        except Exception as error:  # noqa: BLE001 - any other error is the complaint
            yield f"an empty {name} raises {type(error).__name__}: {error}"


def _givens(panel: Panel) -> Iterator[list[Any]]:
    yield results(panel)
    if "graph" in panel.takes and "proof" in panel.takes:
        yield results(panel, "proof")


BATTERY: Battery[Entry[Panel]] = Battery(
    "panel",
    (
        Check("it is a panel with a script", is_one),
        Check("it gives strict JSON", gives_strict_json),
        Check("it leaves results as they were", leaves_results_alone),
        Check("it refuses what it cannot show", refuses_what_it_cannot_show),
    ),
    lambda entry: entry,
)
