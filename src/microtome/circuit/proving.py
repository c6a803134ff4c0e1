"""`microtome.prove`: keeps and removes a circuit, and sets it against its nulls."""

from dataclasses import replace

from microtome.circuit.attribution import RULES, scored
from microtome.circuit.change import side_by_side
from microtome.circuit.faithfulness import PromptScores, score_prompt
from microtome.circuit.graph import Graph
from microtome.circuit.nodesets import rankings
from microtome.circuit.proof import Proof
from microtome.circuit.question import ask
from microtome.circuit.target import Target, resolve
from microtome.circuit.weighing import Plan, ProofConfig, weigh
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.data.row import members
from microtome.data.task import Task, fitting
from microtome.model.model import Model
from microtome.model.upcast import in_float32


def prove(
    model: Model,
    claim: Graph | Task,
    sizes: tuple[int, ...] = (100, 300, 1000, 3000),
    draws: int = 20,
    seed: int = 0,
    *,
    config: ProofConfig | None = None,
) -> Proof:
    """Tests by intervention what a ranking of units claims.

    Units outside the circuit (or, for completeness, inside it) are set to their counterfactual values
    while tokens, attention and norms stay live. Beside it: random sets with as many units in every (layer,
    position), and the units that change most.

    Args:
        model: opened by `microtome.open`.
        claim: a graph (holds on this prompt?) or a task (proven on the task?).
        sizes: numbers of units, counted among those that differ between the prompts.
        draws: matched random sets a size.
        seed: of the draws and of the resampling.
        config: further settings.

    Raises:
        WrongUse: no sizes, no draws, a graph of another model, or no prompt that the model gets right.
    """
    settings = config or ProofConfig()
    sizes = tuple(sorted(dict.fromkeys(sizes)))
    if not sizes or sizes[0] < 1 or draws < 1:
        raise WrongUse("prove", found=f"sizes {sizes} and {draws} draws", do="give sizes from 1 up and at least 1 draw")
    wide, plan = in_float32(model), Plan(sizes, draws, seed, settings)
    if isinstance(claim, Graph):
        require_same_model(model, claim)
        scores = [_score_graph(wide, claim, plan)]
        return weigh(model.card, claim.prompt, scores, {}, plan, "prompt")
    scores, dropped = _score_task(wide, claim, plan)
    return weigh(model.card, f"task {claim.name}", scores, dropped, plan, "task")


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


def _score_graph(model: Model, graph: Graph, plan: Plan) -> PromptScores:
    target = Target(graph.target_ids, graph.target, graph.against_ids, graph.against, graph.target_position)
    other = None if graph.counterfactual_ids is None else list(graph.counterfactual_ids)
    rule = str(graph.card["config"].get("rule", plan.settings.rule))
    scores = _score(model, list(graph.ids), other, target, rule, plan)
    if scores.span <= 0:
        sides = " over ".join(repr(" or ".join(side)) for side in (graph.target, graph.against or ("the mean logit",)))
        raise WrongUse(
            f"prove that {sides} comes from the units of {graph.prompt!r}",
            found=f"a target that does not fall when all units take their counterfactual values ({scores.clean:+.2f} "
            f"before, {scores.empty:+.2f} after): there is nothing to keep",
            do="name a target that the prompt supports more than its counterfactual does",
        )
    return scores


def _score(
    model: Model,
    ids: list[int],
    other_ids: list[int] | None,
    target: Target,
    rule: str,
    plan: Plan,
) -> PromptScores:
    question = ask(model, ids, other_ids, target)
    scores, _ = scored(question, RULES.get(rule)(question))
    clean, other = side_by_side([layer.neurons for layer in question.clean.layers]), question.baseline.units
    norms = side_by_side([layer.writes.norm(dim=0) for layer in question.clean.layers])
    differs = clean != other
    ranked = rankings(scores, (clean - other).abs() * norms[:, None], differs, plan.draws, plan.seed)
    return score_prompt(model, ids, other, target, ranked, plan.sizes)


def _score_task(model: Model, task: Task, plan: Plan) -> tuple[list[PromptScores], dict[str, int]]:
    fit, dropped = fitting(task, lambda text: _ids(model, text))
    dropped = dict(dropped)
    found = []
    for i, row in enumerate(track(fit.rows, f"proving {task.name}")):
        target = resolve(model, row.clean, members(row.target), members(row.against))
        pair = [model.batch(text).tokens[0] for text in (row.clean, row.counterfactual)]
        run = model.run(pair, ["norm.final"])
        here, there = target.read(run["norm.final"][:, -1], model.anatomy).tolist()
        if not (here > 0 > there):
            dropped["the model gets wrong"] = dropped.get("the model gets wrong", 0) + 1
            continue
        own = replace(plan, seed=plan.seed + i)
        one = _score(model, pair[0], pair[1], target, plan.settings.rule, own)
        if one.span < plan.settings.floor:
            dropped["with too small a difference"] = dropped.get("with too small a difference", 0) + 1
            continue
        found.append(one)
    if not found:
        raise WrongUse(
            f"prove on the task {task.name}",
            found=f"no prompt that can be counted: {dropped}",
            do="choose a task that this model can do",
        )
    return found, dropped


def _ids(model: Model, text: str) -> list[int]:
    if model.tokenizer is None:
        raise WrongUse("prove on a task", found="a model without tokenizer", do="open it as (module, tokenizer)")
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
