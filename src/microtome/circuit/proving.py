"""`microtome.prove`: keeps and removes a circuit, and sets it against its nulls."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from microtome.circuit.attribution import RULES
from microtome.circuit.change import change
from microtome.circuit.faithfulness import PromptScores, score_prompt
from microtome.circuit.graph import Graph
from microtome.circuit.nodesets import rankings
from microtome.circuit.proof import FORMAT, Proof, Verdict
from microtome.circuit.target import Target, resolve
from microtome.circuit.trace import RULE, ask, baseline, scored
from microtome.core.artefact import RunCard
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.data.row import members
from microtome.data.task import Task, fitting
from microtome.evidence import (
    Measurement,
    Null,
    area_over_log,
    difference_of_ratios,
    null_of_the_mean,
    ratio_of_sums,
)
from microtome.model.model import Model
from microtome.model.upcast import in_float32

ENOUGH_PROMPTS = 20
MEASURED_IN = "share of the logit difference"
NULLS = ("matched random", "change")


@dataclass(frozen=True)
class ProofConfig(Config):
    """Settings of a proof.

    Attributes:
        rule: by which units are ranked.
        at: the size at which the verdict is given; None for 1,000, or the largest size where that is not asked.
        floor: smallest difference between clean and empty, in logits, for a prompt to be counted.
        level: of the intervals, and 1 minus the largest p-value that holds.
    """

    rule: str = RULE
    at: int | None = None
    floor: float = 0.5
    level: float = 0.95


@dataclass(frozen=True)
class Plan:
    """What is drawn and weighed: sizes of sets, matched sets a size, the seed, and the settings."""

    sizes: tuple[int, ...]
    draws: int
    seed: int
    settings: ProofConfig


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
        return _weigh(model, claim.prompt, scores, {}, plan, level="prompt")
    scores, dropped = _score_task(wide, claim, plan)
    return _weigh(model, f"task {claim.name}", scores, dropped, plan, level="task")


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
    flow = change(question.clean, question.other, target)
    scores, _ = scored(question, RULES.get(rule)(question), flow)
    clean = torch.stack([layer.neurons for layer in question.clean.layers])
    if question.other is None:
        other = baseline(model, len(ids))
    else:
        other = torch.stack([layer.neurons for layer in question.other.layers])
    norms = torch.stack([layer.writes.norm(dim=0) for layer in question.clean.layers])
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
    assert model.tokenizer is not None
    return list(model.tokenizer(text, add_special_tokens=False)["input_ids"])


def _weigh(
    model: Model,
    what: str,
    scores: list[PromptScores],
    dropped: dict[str, int],
    plan: Plan,
    *,
    level: str,
) -> Proof:
    sizes, seed, config = plan.sizes, plan.seed, plan.settings
    spans = np.array([one.span for one in scores])
    empty = np.array([one.empty for one in scores])[:, None, None]
    kept = np.stack([one.kept for one in scores]) - empty
    left = np.stack([one.removed for one in scores]) - empty
    faithful = tuple(_measure("faithfulness", s, kept[:, i], spans, seed, config) for i, s in enumerate(sizes))
    complete = tuple(_measure("completeness", s, left[:, i], spans, seed, config) for i, s in enumerate(sizes))
    at = config.at or (1000 if 1000 in sizes else sizes[-1])
    measured = faithful[sizes.index(at)] if at in sizes else faithful[-1]
    curves = (kept / spans[:, None, None]).mean(0) if len(scores) == 1 else kept.sum(0) / spans.sum()
    return Proof(
        sizes=sizes,
        faithfulness=faithful,
        completeness=complete,
        areas=_areas(sizes, curves),
        verdict=_verdict(what, measured, at, level, config),
        n=len(scores),
        n_differing=int(np.median([one.differing for one in scores])),
        differing_share=float(np.mean([one.share for one in scores])),
        dropped=dropped,
        card=RunCard("proof", FORMAT, seed, config.to_dict(), model.card, {"claim": what}).to_dict(),
    )


def _measure(
    name: str,
    size: int,
    values: Float[np.ndarray, "n s"],
    spans: Float[np.ndarray, "n"],
    seed: int,
    config: ProofConfig,
) -> Measurement:
    """One figure with its interval over prompts and both nulls."""
    higher = name == "faithfulness"
    value, interval = ratio_of_sums(values[:, 0], spans, config.level, seed)
    nulls = []
    for null_name, columns in zip(NULLS, (values[:, 2:], values[:, 1:2]), strict=True):
        advantage = difference_of_ratios(values[:, 0], columns.mean(1), spans, config.level, seed).interval
        draws = columns[0] / spans[0] if len(spans) == 1 else null_of_the_mean(columns, spans, seed=seed)
        nulls.append(Null.against(null_name, float(value), draws, higher_is_better=higher, effect_interval=advantage))
    return Measurement(
        f"{name} at {size:,} units", float(value), interval, config.level, tuple(nulls), len(spans), seed, MEASURED_IN
    )


def _areas(sizes: tuple[int, ...], curves: Float[np.ndarray, "n s"]) -> dict[str, float]:
    if len(sizes) < 2:
        return {}
    named = {"circuit": curves[:, 0], "matched random": curves[:, 2:].mean(1), "change": curves[:, 1]}
    return {name: float(area_over_log(sizes, curve)) for name, curve in named.items()}


def _verdict(what: str, measured: Measurement, size: int, level: str, config: ProofConfig) -> Verdict:
    matched, change_null = measured.nulls
    figures = f"{measured.value:.2f} kept, matched random {matched.mean:.2f}, most changed {change_null.mean:.2f}"
    if level == "prompt":
        holds = matched.p_value <= 1 - config.level and measured.value > change_null.mean
        failed = [] if matched.p_value <= 1 - config.level else [f"matched random sets (p={matched.p_value:.3f})"]
        failed += [] if measured.value > change_null.mean else ["the units that change most"]
        claim = "Holds on this prompt" if holds else f"Not shown on this prompt: does not beat {' or '.join(failed)}"
        return Verdict(holds, f"{claim} at {size:,} units ({figures}).", level, size)
    failed = [null.name for null in measured.nulls if not null.beaten]
    if measured.n < ENOUGH_PROMPTS:
        return Verdict(
            False, f"Not proven: {measured.n} prompts, {ENOUGH_PROMPTS} are needed ({figures}).", level, size
        )
    holds = not failed
    claim = f"Proven on {what}" if holds else f"Not proven on {what}: does not beat {' or '.join(failed)}"
    return Verdict(holds, f"{claim} at {size:,} units ({figures}; {measured.n} prompts).", level, size)
