"""`microtome.prove`: keeps and removes a circuit, and sets it against its nulls."""

from collections import Counter
from dataclasses import replace
from typing import Any, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.aiming import target_of
from microtome.circuit.attribution import DEFAULT_RULE, RULES, Rule, scored
from microtome.circuit.basis import Basis, side_by_side
from microtome.circuit.costs import proof_cost, said_before, task_cost
from microtome.circuit.faithfulness import PromptScores, score_prompt
from microtome.circuit.graph import Graph
from microtome.circuit.naming import NEURONS, Units, basis_of, is_named
from microtome.circuit.nodesets import rankings
from microtome.circuit.proof import FORMAT, Proof
from microtome.circuit.question import Question, ask
from microtome.circuit.sizes import FEWEST_DRAWS, SIZES, usual_draws
from microtome.circuit.target import resolve
from microtome.circuit.weighing import Plan, ProofConfig, weigh
from microtome.core.artefact import RunCard
from microtome.core.errors import FormatError, WrongUse
from microtome.core.progress import track, working
from microtome.data.row import members
from microtome.data.task import Task, fitting
from microtome.evidence.ledger import Recorded, page_of
from microtome.model.model import Model
from microtome.model.upcast import in_float32


def prove(
    model: Model,
    claim: Graph | Task,
    sizes: tuple[int, ...] = SIZES,
    draws: int | None = None,
    seed: int = 0,
    basis: Units | None = None,
    *,
    config: ProofConfig | None = None,
    **recorded: Unpack[Recorded],
) -> Proof:
    """Tests by intervention what a ranking of units claims: a graph's own, or one made anew for each prompt of a task.

    Units outside the circuit (or, for completeness, inside it) are set to their counterfactual values
    while tokens, attention and norms stay live. Beside it: random sets with as many units in every (layer,
    position), and the units that change most.

    Args:
        model: opened by `microtome.open`.
        claim: a graph (holds on this prompt?) or a task (proven on the task?).
        sizes: numbers of units, counted among those that differ between the prompts.
        draws: matched random sets a size; None for 20, and on a short prompt, where they cost little, up to 100.
        seed: of the draws and of the resampling.
        basis: the units, as for `trace`; None for the graph's own, or neurons.
        config: further settings.
        **recorded: `ledger=`, the page of the claim that this is evidence for: ledger["name"].

    Raises:
        WrongUse: no sizes or draws; a size beyond the graph's ranking or the units that differ; a graph of
            another model, basis or rule; a target that does not fall; no prompt that the model gets right;
            edits in force.
        NotFound: a basis of no such name.
        NotSupported: a dictionary whose units have no place in a graph.
    """
    if not isinstance(claim, (Graph, Task)):
        raise WrongUse(f"prove {claim!r}", found=f"a {type(claim).__name__}", do="give a graph, or a task: mt.task(…)")
    page = page_of("prove", recorded)
    sizes = tuple(sorted(dict.fromkeys(sizes)))
    if draws is None:
        draws = FEWEST_DRAWS if isinstance(claim, Task) else usual_draws(len(claim.ids), len(sizes))
    plan = Plan(sizes, draws, seed, config or ProofConfig())
    wide = in_float32(model)
    if isinstance(claim, Graph):
        require_same_model(model, claim)
        proof = _prove_graph(wide, claim, plan, _own_basis(wide, claim, basis), model.card)
    else:
        proof = _prove_task(wide, claim, plan, basis_of(wide, NEURONS if basis is None else basis), model.card)
    if page is not None:
        page.record(proof.measurements, proof.quantities, proof.card)
    return proof


def require_same_model(model: Model, graph: Graph) -> None:
    """Raises WrongUse where a graph was traced in other weights: its tokens and units mean nothing here."""
    traced = graph.card["model"]
    if traced["fingerprint"] != model.fingerprint:
        raise WrongUse(
            f"prove the graph of {graph.prompt!r} on the model {model.name!r}",
            found=f"a graph traced in {traced['name']!r}, whose weights have another fingerprint "
            f"({traced['fingerprint']}, here {model.fingerprint})",
            do=f"open {traced['name']!r}, or trace the prompt in {model.name!r}",
        )


def _own_basis(model: Model, graph: Graph, asked: Units | None) -> Basis:
    """The basis that a graph was traced in, found by its name or given again."""
    what, traced = f"prove the graph of {graph.prompt!r}", graph.card.get("data", {}).get("basis", {})
    if asked is None and traced and not is_named(graph.basis):
        raise WrongUse(
            what, found=f"a graph in units of a dictionary without a name, {graph.basis}",
            do="give it again: prove(model, graph, basis=dictionary)",
        )  # fmt: skip
    basis = basis_of(model, graph.basis if asked is None else asked)
    if basis.card != traced:
        told = ((basis.name, basis.card), (graph.basis, traced))
        here, there = (f"{name!r} (weights {card.get('weights', 'of the model')})" for name, card in told)
        raise WrongUse(
            what, found=f"the basis {here}, and a graph made with {there}",
            do="give the dictionary that the graph was traced with, or leave the basis out",
        )  # fmt: skip
    return basis


def _prove_graph(wide: Model, graph: Graph, plan: Plan, basis: Basis, model: dict[str, str]) -> Proof:
    what, given = f"prove the graph of {graph.prompt!r}", plan.settings.rule
    rule = str(graph.card.get("config", {}).get("rule"))
    if given not in (None, rule):
        raise WrongUse(what, found=f"a rule {given!r}, and a graph made with {rule!r}", do="leave the rule out")
    if plan.sizes[-1] > len(graph.ranking):
        raise WrongUse(
            what,
            found=f"a size of {plan.sizes[-1]:,}, and a ranking of {len(graph.ranking):,} units",
            do="give smaller sizes, or trace with a larger `ranked`",
        )
    target = target_of(graph, wide)
    other = None if graph.counterfactual_ids is None else list(graph.counterfactual_ids)
    question = ask(wide, list(graph.ids), other, target, basis)
    with working("proving") as step:
        step.say(said_before(wide, proof_cost(wide, len(graph.ids), len(plan.sizes), plan.draws)))
        found = _score(question, _ranked(graph, question), plan)
    if found.span < max(plan.settings.floor, 0.0) or found.span <= 0:
        sides = " over ".join(repr(" or ".join(side)) for side in (graph.target, graph.against or ("the mean logit",)))
        raise WrongUse(
            f"prove that {sides} comes from the units of {graph.prompt!r}",
            found=f"a target that does not fall by {plan.settings.floor:g} when all units take their counterfactual "
            f"values ({found.clean:+.2f} before, {found.empty:+.2f} after): there is nothing to keep",
            do="name a target that the prompt supports more than its counterfactual does",
        )
    data = {"claim": graph.prompt, "ids": list(graph.ids), "counterfactual_ids": other}
    data |= {"target": target.to_dict(), "position": graph.target_position, "graph": graph.card["config"]}
    return weigh([found], {}, plan, "prompt", _card(model, plan, basis, rule, data))


def _ranked(graph: Graph, question: Question) -> Float[Tensor, "k p u"]:
    """The attributions that a graph's ranking holds, zero elsewhere."""
    blocks, positions, units, attributions = map(list, zip(*graph.ranking, strict=True))
    scores = torch.zeros_like(question.baseline.units)
    columns = [{unit: i for i, unit in enumerate(block.ids.tolist())} for block in question.clean.blocks]
    known = graph.blocks == tuple(block.name for block in question.clean.blocks) and all(
        0 <= block < len(columns) and 0 <= position < scores.shape[1] and unit in columns[block]
        for block, position, unit in zip(blocks, positions, units, strict=True)
    )
    if not known:
        raise FormatError(
            f"prove the graph of {graph.prompt!r}",
            found=f"a ranking with units outside the model's {tuple(scores.shape)} blocks, positions and units",
            do="trace the prompt again",
        )
    places = [columns[block][unit] for block, unit in zip(blocks, units, strict=True)]
    scores[blocks, positions, places] = torch.tensor(attributions, dtype=scores.dtype, device=scores.device)
    return scores


def _prove_task(wide: Model, task: Task, plan: Plan, basis: Basis, model: dict[str, str]) -> Proof:
    rule = plan.settings.rule or DEFAULT_RULE
    scores, dropped = _score_task(wide, task, plan, RULES.get(rule), basis)
    data = {"claim": f"task {task.name}", "task": task.name, "fingerprint": task.fingerprint, "source": task.source}
    data |= {"seed": task.seed, "version": task.version, "n": len(task)}
    return weigh(scores, dropped, plan, "task", _card(model, plan, basis, rule, data))


def _card(model: dict[str, str], plan: Plan, basis: Basis, rule: str, data: dict[str, Any]) -> RunCard:
    config = {**plan.settings.to_dict(), "rule": rule, "basis": basis.name, "sizes": list(plan.sizes)}
    data = data | {"basis": basis.card}
    return RunCard("proof", FORMAT, plan.seed, config | {"draws": plan.draws}, model, data)


def _score(question: Question, scores: Float[Tensor, "k p u"], plan: Plan) -> PromptScores:
    clean, other = question.clean.values, question.baseline.units
    norms = side_by_side([block.norms.expand(clean.shape[1], -1) for block in question.clean.blocks])
    differs = clean != other
    differing = int(differs.sum())
    if plan.sizes[-1] >= differing:
        raise WrongUse(
            f"keep {plan.sizes[-1]:,} units",
            found=f"{differing:,} units that differ between the prompts: to keep all of them proves nothing",
            do=f"give sizes below {differing:,}",
        )
    ranked = rankings(scores, (clean - other).abs() * norms, differs, plan.draws, plan.seed)
    return score_prompt(question, ranked, plan.sizes)


def _score_task(
    model: Model, task: Task, plan: Plan, rule: Rule, basis: Basis
) -> tuple[list[PromptScores], dict[str, int]]:
    fit, misfits = fitting(task, lambda text: _ids(model, text))
    dropped, found = Counter(misfits), []
    lengths = [len(_ids(model, row.clean)) for row in fit.rows]
    takes = said_before(model, task_cost(model, lengths, len(plan.sizes), plan.draws))
    for i, row in enumerate(track(fit.rows, f"proving {task.name}", before=takes)):
        target = resolve(model, row.clean, members(row.target), members(row.against))
        pair = [model.batch(text).tokens[0] for text in (row.clean, row.counterfactual)]
        here, there = target.of(model.run(pair, target.sites), model.anatomy).tolist()
        if not (here > 0 > there):
            dropped["the model gets wrong"] += 1
            continue
        question = ask(model, pair[0], pair[1], target, basis)
        one = _score(question, scored(question, rule(question)).units, replace(plan, seed=plan.seed + i))
        if one.span < plan.settings.floor:
            dropped["with too small a difference"] += 1
            continue
        found.append(one)
    if not found:
        raise WrongUse(
            f"prove on the task {task.name}",
            found=f"no prompt that can be counted: {dict(dropped)}",
            do="choose a task that this model can do",
        )
    return found, dict(dropped)


def _ids(model: Model, text: str) -> list[int]:
    if model.tokenizer is None:
        raise WrongUse("prove on a task", found="a model without tokenizer", do="open it as (module, tokenizer)")
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
