"""`microtome.prove`: keeps and removes a circuit, and sets it against its nulls."""

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.attribution import DEFAULT_RULE, RULES, Rule, scored
from microtome.circuit.basis import BASES
from microtome.circuit.change import side_by_side
from microtome.circuit.faithfulness import PromptScores, score_prompt
from microtome.circuit.graph import Graph
from microtome.circuit.nodesets import rankings
from microtome.circuit.proof import FORMAT, Proof
from microtome.circuit.question import Question, ask
from microtome.circuit.target import Target, resolve
from microtome.circuit.weighing import Plan, ProofConfig, weigh
from microtome.core.artefact import RunCard
from microtome.core.errors import FormatError, NotSupported, WrongUse
from microtome.core.progress import track
from microtome.data.row import members
from microtome.data.task import Task, fitting
from microtome.model.model import Model
from microtome.model.upcast import in_float32

NEURONS = "neurons"


def prove(
    model: Model,
    claim: Graph | Task,
    sizes: tuple[int, ...] = (100, 300, 1000, 3000),
    draws: int = 20,
    seed: int = 0,
    basis: str | None = None,
    *,
    config: ProofConfig | None = None,
) -> Proof:
    """Tests by intervention what a ranking of units claims: a graph's own, or one made anew for each prompt of a task.

    Units outside the circuit (or, for completeness, inside it) are set to their counterfactual values
    while tokens, attention and norms stay live. Beside it: random sets with as many units in every (layer,
    position), and the units that change most.

    Args:
        model: opened by `microtome.open`.
        claim: a graph (holds on this prompt?) or a task (proven on the task?).
        sizes: numbers of units, counted among those that differ between the prompts.
        draws: matched random sets a size.
        seed: of the draws and of the resampling.
        basis: the units; None for the graph's own, or neurons.
        config: further settings.

    Raises:
        WrongUse: no sizes or draws; a size beyond the graph's ranking or the units that differ; a graph of
            another model, basis or rule; a target that does not fall; no prompt that the model gets right;
            edits in force.
        NotSupported: a basis other than neurons.
    """
    if not isinstance(claim, (Graph, Task)):
        raise WrongUse(f"prove {claim!r}", found=f"a {type(claim).__name__}", do="give a graph, or a task: mt.task(…)")
    plan = Plan(tuple(sorted(dict.fromkeys(sizes))), draws, seed, config or ProofConfig())
    wide = in_float32(model)
    if basis is not None and BASES.get(basis) is not BASES.get(NEURONS):
        raise NotSupported(f"prove in the basis {basis!r}", found="a proof that edits neurons", do="prove in neurons")
    if isinstance(claim, Graph):
        require_same_model(model, claim)
        return _prove_graph(model, wide, claim, plan, basis)
    return _prove_task(model, wide, claim, plan, basis)


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


def _prove_graph(model: Model, wide: Model, graph: Graph, plan: Plan, basis: str | None) -> Proof:
    what = f"prove the graph of {graph.prompt!r}"
    rule = str(graph.card.get("config", {}).get("rule"))
    asked = {"basis": (basis, graph.basis), "rule": (plan.settings.rule, rule)}
    for name, (given, own) in asked.items():
        if given not in (None, own):
            raise WrongUse(what, found=f"a {name} {given!r}, and a graph made with {own!r}", do=f"leave the {name} out")
    if plan.sizes[-1] > len(graph.ranking):
        raise WrongUse(
            what,
            found=f"a size of {plan.sizes[-1]:,}, and a ranking of {len(graph.ranking):,} units",
            do="give smaller sizes, or trace with a larger `ranked`",
        )
    target = Target(graph.target_ids, graph.target, graph.against_ids, graph.against, graph.target_position)
    other = None if graph.counterfactual_ids is None else list(graph.counterfactual_ids)
    question = ask(wide, list(graph.ids), other, target)
    found = _score(question, _ranked(graph, question.baseline.units), plan)
    if found.span < max(plan.settings.floor, 0.0) or found.span <= 0:
        sides = " over ".join(repr(" or ".join(side)) for side in (graph.target, graph.against or ("the mean logit",)))
        raise WrongUse(
            f"prove that {sides} comes from the units of {graph.prompt!r}",
            found=f"a target that does not fall by {plan.settings.floor:g} when all units take their counterfactual "
            f"values ({found.clean:+.2f} before, {found.empty:+.2f} after): there is nothing to keep",
            do="name a target that the prompt supports more than its counterfactual does",
        )
    data = {"claim": graph.prompt, "ids": list(graph.ids), "counterfactual_ids": other}
    data |= {"target_ids": list(target.ids), "against_ids": list(target.against_ids), "position": graph.target_position}
    return weigh([found], {}, plan, "prompt", _card(model, plan, graph.basis, rule, data))


def _ranked(graph: Graph, like: Float[Tensor, "l p u"]) -> Float[Tensor, "l p u"]:
    """The attributions that a graph's ranking holds, zero elsewhere."""
    *places, attributions = map(list, zip(*graph.ranking, strict=True))
    for axis, where in enumerate(places):
        if not all(0 <= one < like.shape[axis] for one in where):
            raise FormatError(
                f"prove the graph of {graph.prompt!r}",
                found=f"a ranking with units outside the model's {tuple(like.shape)} layers, positions and units",
                do="trace the prompt again",
            )
    scores = torch.zeros_like(like)
    scores[*places] = torch.tensor(attributions, dtype=like.dtype, device=like.device)
    return scores


def _prove_task(model: Model, wide: Model, task: Task, plan: Plan, basis: str | None) -> Proof:
    rule = plan.settings.rule or DEFAULT_RULE
    scores, dropped = _score_task(wide, task, plan, RULES.get(rule))
    data = {"claim": f"task {task.name}", "task": task.name, "fingerprint": task.fingerprint, "source": task.source}
    data |= {"seed": task.seed, "version": task.version}
    return weigh(scores, dropped, plan, "task", _card(model, plan, basis or NEURONS, rule, data))


def _card(model: Model, plan: Plan, basis: str, rule: str, data: dict[str, Any]) -> RunCard:
    config = {**plan.settings.to_dict(), "rule": rule, "basis": basis, "sizes": list(plan.sizes), "draws": plan.draws}
    return RunCard("proof", FORMAT, plan.seed, config, model.card, data)


def _score(question: Question, scores: Float[Tensor, "l p u"], plan: Plan) -> PromptScores:
    clean, other = side_by_side([layer.neurons for layer in question.clean.layers]), question.baseline.units
    norms = side_by_side([layer.writes.norm(dim=0) for layer in question.clean.layers])
    differs = clean != other
    differing = int(differs.sum())
    if plan.sizes[-1] >= differing:
        raise WrongUse(
            f"keep {plan.sizes[-1]:,} units",
            found=f"{differing:,} units that differ between the prompts: to keep all of them proves nothing",
            do=f"give sizes below {differing:,}",
        )
    ranked = rankings(scores, (clean - other).abs() * norms[:, None], differs, plan.draws, plan.seed)
    return score_prompt(question.model, question.clean.ids, other, question.target, ranked, plan.sizes)


def _score_task(model: Model, task: Task, plan: Plan, rule: Rule) -> tuple[list[PromptScores], dict[str, int]]:
    fit, misfits = fitting(task, lambda text: _ids(model, text))
    dropped, found = Counter(misfits), []
    for i, row in enumerate(track(fit.rows, f"proving {task.name}")):
        target = resolve(model, row.clean, members(row.target), members(row.against))
        pair = [model.batch(text).tokens[0] for text in (row.clean, row.counterfactual)]
        run = model.run(pair, ["norm.final"])
        here, there = target.read(run["norm.final"][:, -1], model.anatomy).tolist()
        if not (here > 0 > there):
            dropped["the model gets wrong"] += 1
            continue
        question = ask(model, pair[0], pair[1], target)
        one = _score(question, scored(question, rule(question))[0], replace(plan, seed=plan.seed + i))
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
