"""Who looks for a circuit: scores of nodes and of edges of one network on one task, larger in size for the likelier."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.attribution import DEFAULT_RULE, RULES, between, scored
from microtome.circuit.basis import Basis
from microtome.circuit.naming import NEURONS as NEURON_BASIS
from microtome.circuit.naming import basis_of
from microtome.circuit.patching.components import Edge, components_of
from microtome.circuit.patching.method import METHODS
from microtome.circuit.patching.patching import patch
from microtome.circuit.question import Question, ask
from microtome.circuit.target import resolve
from microtome.core.errors import UnknownName
from microtome.data.row import members
from microtome.data.task import Task
from microtome.model import edits
from microtome.model.anatomy import matrix
from microtome.model.model import Model
from microtome.train.doctor.check import CHECKS
from microtome.train.transcoders import train_transcoders

NEURONS, LAYERS, DICTIONARIES = "neuron trace", "neuron trace (ig-units)", "dictionary trace"
WEIGHTS = "weight magnitude"
HOLDING = (NEURONS, LAYERS, DICTIONARIES)
"""Those that hold attention where it is for heads, and are not asked why a head looks where it looks."""
TRANSCODERS: dict[str, Any] = {
    "units": 128, "k": 16, "tokens": 150_000, "batch": 128, "context": 32, "buffer_rows": 1 << 13, "log_every": "25%",
}  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "activation": {"kinds": ("head", "mlp", "unit")},
}
STEPS = 5  # on the way of a head's output
SHARE = 0.01  # of the metric's fall: what a score has to reach for its node or edge to count as found


@dataclass(frozen=True)
class Claims:
    """What one of them says.

    Attributes:
        nodes: scores of heads, MLPs and units, by name; of those alone that it scores at all.
        edges: by source and reader.
        bound: the size from which on a score counts as found; None for those that have no scale of their own and are
            given as many finds as there are true ones.
    """

    nodes: Mapping[str, float]
    edges: Mapping[Edge, float] = field(default_factory=dict)
    bound: float | None = None


Finder = Callable[[Model, Task, Sequence[str]], Claims]
"""From a network, the task, and more inputs of its kind, for those that learn from them."""


def all_finders() -> tuple[str, ...]:
    """Their names: every method of patching, the trace in three ways, and what looks at weights alone."""
    return (*(entry.name for entry in METHODS), *HOLDING, WEIGHTS)


def finder(name: str) -> Finder:
    """One by its name.

    Raises:
        UnknownName: nobody is called so; the message lists the nearest.
    """
    if name not in all_finders():
        raise UnknownName("method", name, all_finders(), do="choose one of these")
    own: dict[str, Finder] = {
        NEURONS: lambda model, task, _: by_neurons(model, task),
        LAYERS: lambda model, task, _: by_neurons(model, task, "ig-units"),
        DICTIONARIES: by_dictionaries,
        WEIGHTS: lambda model, task, _: by_weights(model),
    }
    return own.get(name) or (lambda model, task, _: by_patching(model, task, name))


def by_patching(model: Model, task: Task, method: str) -> Claims:
    """A method of patching."""
    found = patch(model, task, method, **SETTINGS.get(method, {}))
    nodes = {name: score for name, score in found.nodes.items() if name.count(".") == 2 or name.startswith("mlp")}
    return Claims(nodes, found.edges, SHARE * abs(found.clean - found.other))


def by_neurons(model: Model, task: Task, rule: str = DEFAULT_RULE) -> Claims:
    """The trace of every row, in hidden units, and these summed to MLPs: see `_by_trace`."""
    return _by_trace(model, task, basis_of(model, NEURON_BASIS), rule, unit="unit")


def by_dictionaries(model: Model, task: Task, inputs: Sequence[str]) -> Claims:
    """The trace in transcoders of the network's MLPs, trained on these inputs; what they have no units for is left out.

    Their units are no units of the network, so that MLPs as a whole are what it names.
    """
    known = {"doctor": dict.fromkeys((entry.name for entry in CHECKS), "off"), **TRANSCODERS}
    with TemporaryDirectory() as folder:
        made = train_transcoders(model, inputs, out=folder, **known)
    return _by_trace(model, task, basis_of(model, made), DEFAULT_RULE, unit=None)


def _by_trace(model: Model, task: Task, basis: Basis, rule: str, unit: str | None) -> Claims:
    """The trace of every row with its counterfactual: the size of what each node brings, and its mean over rows.

    A unit has its attribution by the rule, summed over positions, and an MLP the sum of its units. A head has
    what its output brings the target with attention held at the clean prompt: its change times a gradient that passes
    through values and MLPs alone, averaged on the way from the one output to the other.
    """
    rows: list[dict[str, float]] = []
    falls: list[float] = []
    for row in task.rows:
        target = resolve(model, row.clean, members(row.target), members(row.against))
        question = ask(model, row.clean, row.counterfactual, target, basis)
        units = scored(question, RULES.get(rule)(question)).units.sum(1)
        rows.append(
            {f"mlp.{i}": one for i, one in enumerate(units.sum(1).tolist())}
            | _named("head", _through_values(question))
            | (_named(unit, units) if unit else {})
        )
        falls.append(target.on(question.clean.frozen) - _other_value(question))
    nodes = {name: fmean(abs(one[name]) for one in rows) for name in rows[0]}
    return Claims(nodes, {}, SHARE * fmean(map(abs, falls)))


def _other_value(question: Question) -> float:
    assert question.other is not None
    return question.target.on(question.other.frozen)


def _named(kind: str, scores: Float[Tensor, "l n"]) -> dict[str, float]:
    return {f"{kind}.{i}.{j}": one for i, layer in enumerate(scores.tolist()) for j, one in enumerate(layer)}


def _through_values(question: Question) -> Float[Tensor, "l h"]:
    """What each head's output brings, summed over positions, where all above it look where they looked."""
    model, target = question.model, question.target
    assert question.other is not None
    sites = [f"attn.heads.{i}" for i in range(model.n_layers)]
    both = model.run([question.other.frozen.ids, question.clean.frozen.ids], ["attn.heads.*", "attn.pattern.*"])
    held = [
        edits.set(f"attn.pattern.{i}", both[f"attn.pattern.{i}"][1:], may_be_empty=True) for i in range(model.n_layers)
    ]

    live = target.live(model)
    found = []
    for site in sites:
        start, end = both[site]
        way = [edits.set(site, between(start, end, STEPS), may_be_empty=True)]
        run = model.run(
            [question.clean.frozen.ids] * STEPS,
            [site],
            backward=live.metric,
            edits=[*held, *way, *live.edits],
            last_logits_only=live.last_logits_only,
        )
        found.append(((end - start) * run.grad[site].mean(0)).sum((0, 2)))
    return torch.stack(found)


def by_weights(model: Model) -> Claims:
    """How large weights are: of a node what it reads by times what it writes by, of an edge both its ends.

    A null that sees no input at all. Of a head's reads it looks at values alone.
    """
    components = components_of(model.anatomy)
    nodes, writes, reads = dict[str, float](), {"embed": _norm(matrix(model.anatomy.embed))}, dict[str, float]()
    for i, layer in enumerate(model.anatomy.layers):
        for j in range(components.h):
            writes[f"head.{i}.{j}"] = _norm(layer.w_o[:, j])
        for j in range(components.g):
            reads[f"head.{i}.{j}.v"] = _norm(layer.w_v[j])
        into, out = layer.w_gate.norm(dim=1), layer.w_down.norm(dim=0)
        reads[f"mlp.{i}"], writes[f"mlp.{i}"] = _norm(into), _norm(out)
        nodes |= {f"unit.{i}.{j}": float(one) for j, one in enumerate(into * out)}
        nodes[f"mlp.{i}"] = reads[f"mlp.{i}"] * writes[f"mlp.{i}"]
    nodes |= {name: writes[name] * reads[components.inputs(name)[2]] for name in _heads(model)}
    reads["logits"] = _norm(model.anatomy.w_u)
    edges = {(source, reader): writes[source] * reads[reader] for source, reader in components.edges if reader in reads}
    return Claims(nodes, edges)


def _norm(of: Tensor) -> float:
    return float(of.detach().norm())


def _heads(model: Model) -> list[str]:
    return [name for name in components_of(model.anatomy).sources if name.startswith("head")]
