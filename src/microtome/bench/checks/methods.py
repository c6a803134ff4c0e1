"""What every method promises: finite scores of what there is, the same again, in batches of any size."""

import math
from collections.abc import Mapping
from typing import Any, cast

from microtome.bench.checks.battery import Battery, Check, Complaints
from microtome.bench.checks.networks import CLEAN, OTHER, small_network
from microtome.circuit.patching.patching import case_of
from microtome.circuit.patching.rows import Pair
from microtome.core.config import Config
from microtome.core.errors import UnknownName
from microtome.core.registry import Entry

PAIRS = [
    Pair(tuple(CLEAN[:4]), tuple(OTHER[:4]), (4,), (5,)),
    Pair((3, *CLEAN[1:4]), (3, *OTHER[1:4]), (11,), (12,)),
]


def is_one(entry: Entry[Any]) -> Complaints:
    """Settings of which all have a default, and that refuse what they do not know."""
    if not (isinstance(entry.value, type) and issubclass(entry.value, Config)):
        yield f"{entry.value!r} is no subclass of Config"
        return
    _ = entry.value.from_dict({})
    try:
        entry.value.from_dict({"no_such_setting": 1})
    except UnknownName:
        return
    yield "it takes a setting that it does not have"


def scores_what_there_is(entry: Entry[Any]) -> Complaints:
    """Finite scores, of nodes or of edges; edges only where the graph has them."""
    case, found = _scored(entry)
    if not found.nodes and found.edges is None:
        yield "no score of any node or edge"
    yield from (f"{name} has the score {value}" for name, value in found.nodes.items() if not math.isfinite(value))
    if found.edges is not None:
        exists = case.components.exists
        if found.edges.shape != exists.shape:
            yield f"edges of shape {list(found.edges.shape)}, not {list(exists.shape)}"
        elif not bool(found.edges[exists].isfinite().all()):
            yield "scores of edges that are not finite"


def same_again(entry: Entry[Any]) -> Complaints:
    """Run twice it finds the same."""
    yield from _others("the second time", _flat(_scored(entry)[1]), _flat(_scored(entry)[1]))


def batches(entry: Entry[Any]) -> Complaints:
    """How pairs are put together does not matter."""
    yield from _others("one pair at a time", _flat(_scored(entry)[1]), _flat(_scored(entry, 1)[1]))


def _scored(entry: Entry[Any], size: int = 32) -> tuple[Any, Any]:
    small = small_network(num_hidden_layers=2, num_attention_heads=1, num_key_value_heads=1, hidden_size=8)
    case, _ = case_of(small, PAIRS, "logit difference", size)
    return case, cast(Any, entry.value).from_dict({}).score(case)


def _flat(found: Any) -> Mapping[str, float]:
    edges = [] if found.edges is None else found.edges.nan_to_num().flatten().tolist()
    return {**found.nodes, **{f"edge {i}": value for i, value in enumerate(edges)}}


def _others(how: str, one: Mapping[str, float], other: Mapping[str, float]) -> Complaints:
    if one.keys() != other.keys():
        yield f"other nodes {how}"
        return
    scale = max(map(abs, one.values()), default=1.0)
    worst = max(one, key=lambda name: abs(one[name] - other[name]), default=None)
    if worst is not None and abs(one[worst] - other[worst]) > 1e-6 * scale + 1e-9:
        yield f"{worst} is {one[worst]:.6g} at once, and {other[worst]:.6g} {how}"


BATTERY: Battery[Entry[Any]] = Battery(
    "method",
    (
        Check("its settings have defaults", is_one),
        Check("it scores what there is", scores_what_there_is),
        Check("it finds the same again", same_again),
        Check("batches do not matter", batches),
    ),
    lambda entry: entry,
)
