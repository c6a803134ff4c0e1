"""What a run card records, made again: a fixed table of this package's own calls, by the kind of the card."""

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.activations.store import ActivationStore
from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import KIND, measure
from microtome.bench.recorded import MANY, WHAT, Absent, Here, of_kind, optional, section, settings, text, whole, wholes
from microtome.circuit.basis import BASES
from microtome.circuit.graph import Graph
from microtome.circuit.naming import AND, Units
from microtome.circuit.proving import prove
from microtome.circuit.site_target import VectorTarget, target
from microtome.circuit.trace import trace
from microtome.circuit.traced import TraceConfig
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import FormatError
from microtome.data.corpus import CORPORA, corpus
from microtome.data.generator import TASKS
from microtome.data.task import Task, task
from microtome.dictionary.named import dictionary_names
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity
from microtome.model.model import Model

Card = Mapping[str, Any]
Figures = dict[str, Measurement | Quantity]


def remade(card: Card, here: Here) -> Figures:
    """The figures that a card is of, computed again.

    Args:
        card: as it was recorded; it is a stranger's, and nothing but values.
        here: what is at hand.

    Raises:
        Absent: a model, dictionary, task or text that is not on this machine.
        MicrotomeError: the card is none that microtome writes, or the call refuses its settings.
    """
    kind = text(card, "kind")
    if kind not in CALLS:
        found = f"a run card of the kind {kind[:60]!r}"
        raise FormatError(WHAT, found=found, do=f"give cards of the kinds {', '.join(CALLS)}")
    return CALLS[kind](card, here)


def _traced(card: Card, here: Here) -> Figures:
    graph = _graph(here.model(section(card, "model")), section(card, "config"), section(card, "data"), here)
    return {one.name: one for one in graph.quantities}


def _graph(model: Model, config: Card, data: Card, here: Here) -> Graph:
    shaping = {name: value for name, value in config.items() if name not in ("basis", "max_nodes", "attributed_in")}
    asked = section(data, "target")
    of_tokens = text(asked, "kind") == "tokens"
    return trace(
        model,
        wholes(data, "ids"),
        optional(wholes, data, "counterfactual_ids"),
        tuple(wholes(asked, "ids")) if of_tokens else _inside(asked, whole(data, "position")),
        (tuple(wholes(asked, "against_ids")) or None) if of_tokens else None,
        _basis(text(config, "basis"), section(data, "basis"), here),
        whole(config, "max_nodes"),
        config=settings(TraceConfig, shaping),
    )


def _inside(asked: Card, position: int) -> VectorTarget:
    """A target inside the model, at a site. Directions and units of dictionaries are not made again."""
    if asked["kind"] != "vector" or asked.get("vector") is not None:
        found = f"the target {str(asked.get('name'))[:60]!r} is a direction or a dictionary's unit"
        raise Absent(found, "trace it again by hand: such targets are not made again")
    made = target(text(asked, "site"), whole(asked, "unit"), position=position, name=text(asked, "name"))
    assert isinstance(made, VectorTarget)
    return made


def _basis(name: str, card: Card, here: Here) -> Units:
    """By name, or by its weights; a path is never followed."""
    if all(one in BASES or one in dictionary_names() for one in name.split(AND)):
        return name
    return here.dictionary(text(card, "weights"))


def _proved(card: Card, here: Here) -> Figures:
    config, data, model = section(card, "config"), section(card, "data"), here.model(section(card, "model"))
    shaping = {name: value for name, value in config.items() if name not in ("basis", "sizes", "draws")}
    basis = _basis(text(config, "basis"), section(data, "basis"), here)
    of_graph = "graph" in data
    claim = _graph(model, section(data, "graph"), data, here) if of_graph else _task(data)
    proof = prove(
        model, claim, tuple(wholes(config, "sizes")), whole(config, "draws", MANY), whole(card, "seed"), basis,
        config=settings(ProofConfig, shaping),
    )  # fmt: skip
    return {one.name: one for one in (*proof.measurements, *proof.quantities)}


def _task(data: Card) -> Task:
    name = text(data, "task")
    if name not in TASKS:
        raise Absent(f"the task {name[:60]!r} is none that is generated here", "prove it by hand")
    made = task(name, whole(data, "n", MANY), whole(data, "seed"))
    if made.fingerprint != data.get("fingerprint"):
        raise Absent(f"the task {name!r} gives other rows here: chosen ones, or another version", "prove it by hand")
    return made


def _measured(card: Card, here: Here) -> Figures:
    data = section(card, "data")
    if beside := of_kind(data, "beside", list):
        raise Absent(f"{', '.join(map(str, beside))[:60]} were given too, and are not in the ledger", "measure by hand")
    dictionary = here.dictionary(text(section(data, "dictionary"), "weights"))
    with tempfile.TemporaryDirectory() as folder:
        store = _store(section(data, "store"), here, folder)
        return dict(measure(dictionary, store, config=settings(MeasureConfig, section(card, "config"))))


def _store(card: Card, here: Here, folder: str) -> ActivationStore:
    """One that was given, or harvested again where the texts have a name; of either, what is held out of it too."""
    wanted, texts = text(card, "fingerprint"), section(card, "texts")
    for one in here.stores:
        if found := _view(one, wanted):
            return found
    name = text(texts, "name")
    if name not in CORPORA or CORPORA.get(name).endings or corpus(name).card != texts:
        raise Absent(f"the store {wanted[:60]!r} is of the texts {name[:60]!r}, which have no name here")
    tokens, shaping = whole(card, "tokens"), settings(HarvestConfig, section(card, "config"))
    model, sites = here.model(section(card, "model")), list(section(card, "mean_squared_norms"))
    again = harvest(model, name, sites, tokens=tokens, out=f"{folder}/store", config=shaping)
    if found := _view(again, wanted):
        return found
    raise Absent(f"the store {wanted!r} is not what is harvested of {name!r} here")


def _view(store: ActivationStore, wanted: str) -> ActivationStore | None:
    for one in (store, *store.split()):
        if one.fingerprint == wanted:
            return one
    return None


CALLS: dict[str, Callable[[Card, Here], Figures]] = {"graph": _traced, "proof": _proved, KIND: _measured}
"""All that can be made again. Another kind of card is refused: nothing is looked up by its name."""
