"""`microtome.trace`: from a prompt to the graph of the units that produced its answer."""

from typing import Any, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.aiming import Explained, aim
from microtome.circuit.answers import answers
from microtome.circuit.attribution import RULES, scored
from microtome.circuit.basis import Basis
from microtome.circuit.change import Change, change
from microtome.circuit.costs import said_before, trace_cost
from microtome.circuit.drawing import draw
from microtome.circuit.edges import Chosen, direct_edges
from microtome.circuit.graph import FORMAT, Graph
from microtome.circuit.naming import NEURONS, Units, basis_of
from microtome.circuit.question import Question, ask
from microtome.circuit.target import Tokens
from microtome.circuit.traced import TraceConfig, Traced
from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.evidence.ledger import Recorded, page_of
from microtome.model.model import Model
from microtome.model.upcast import in_float32


def trace(
    model: Model,
    prompt: Any,
    counterfactual: Any = None,
    target: Explained = None,
    against: Tokens = None,
    basis: Units = NEURONS,
    max_nodes: int = 1024,
    *,
    config: TraceConfig | None = None,
    **recorded: Unpack[Recorded],
) -> Graph:
    """Finds the units that produced an output and how they connect.

    Units are ranked by their attribution to the target; the best become nodes, with exact direct edges
    among them through the frozen network (docs/methods.md). Attribution is a candidate's score, not
    evidence: `prove` tests it.

    Args:
        model: opened by `microtome.open`.
        prompt: a text or token ids.
        counterfactual: as many tokens, with what matters changed; None traces values instead of changes.
        target: a token's text or id, several (logsumexp), or None for the top token; or what `microtome.target` gives:
            a neuron, a unit of a dictionary, a probe, or a direction at a site.
        against: likewise; None for the mean logit.
        basis: the units: `neurons`, `heads`, a dictionary or the name or path of one, or several of these; MLPs for
            which none has units are cut into neurons.
        max_nodes: how many units become nodes before pruning.
        config: further settings.
        **recorded: `ledger=`, the page of a claim: the trace is written there, as what the claim is about.

    Raises:
        WrongUse: prompts of different length (both tokenisations are shown), or the same prompt twice; nothing
            that differs up to the target's position; edits in force.
        NotFound: a target that is not one token; a basis of no such name.
        NotSupported: a dictionary whose units have no place in a graph, such as most crosscoders; the message says why.
    """
    settings, page = config or TraceConfig(), page_of("trace", recorded)
    if max_nodes < 1:
        raise WrongUse("trace", found=f"max_nodes={max_nodes}", do="give at least 1")
    with working("tracing", 3) as step:
        wide = in_float32(model)
        units = basis_of(wide, basis)
        asked = aim(wide, prompt, target, against, settings.position)
        question = ask(wide, prompt, counterfactual, asked, units)
        step.say(said_before(wide, trace_cost(wide, len(question.clean.frozen.ids), max_nodes)))
        step()
        flow = change(question.clean, question.other, question.target)
        scores = scored(question, RULES.get(settings.rule)(question))
        chosen = _carriers(question, flow, scores.units, max_nodes)
        step()
        matrix = direct_edges(question.clean, flow, question.target, chosen)
        step()
    made = {**settings.to_dict(), "basis": units.name, "max_nodes": max_nodes, "attributed_in": wide.card["dtype"]}
    card = RunCard("graph", FORMAT, config=made, model=model.card, data=_data(question, units))
    graph = draw(Traced(question, flow, scores, chosen, matrix), settings, card)
    if page is not None:
        page.record((), graph.quantities, graph.card)
    return graph


def _data(question: Question, units: Basis) -> dict[str, Any]:
    return {
        "ids": question.clean.frozen.ids,
        "counterfactual_ids": None if question.other is None else question.other.frozen.ids,
        "basis": units.card,
        "target": question.target.to_dict(),
        "position": question.target.position,
        "answers": answers(question),
    }


def _carriers(question: Question, flow: Change, scores: Float[Tensor, "k p u"], n: int) -> Chosen:
    """The chosen units, of which there must be some."""
    chosen = choose(scores * flow.differs, n)
    if not len(chosen):
        found = "no unit up to there that carries anything to it"
        if flow.against:
            found += f": the prompts part at position {flow.start}"
        do = "read the target at a later position, or change what stands before it"
        raise WrongUse(f"trace the answer at position {question.target.position}", found=found, do=do)
    return chosen


def choose(scores: Float[Tensor, "k p u"], n: int) -> Chosen:
    """The n units of largest absolute score, those of score zero left out."""
    flat = scores.abs().flatten()
    best = flat.topk(min(n, int((flat > 0).sum()))).indices.sort().values
    return Chosen(*torch.unravel_index(best, scores.shape))
