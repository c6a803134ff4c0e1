"""How often a circuit that is none is called proven: 200 trials of each kind, of which at most 15 may be.

python benchmarks/false_proofs.py

- inert: in compiled networks, a ranking of those units alone that nobody reads (decoys).
- permuted: true scores, permuted inside each (layer, position), anew for each prompt.
- alike: the same, with one permutation for all prompts of a length: a set that happens to be good is so on all.
- target: scores for two other tokens, drawn anew in each trial.
- control: the true scores, which are to be proven (only the random sets differ from trial to trial).

The sets, the runs and the verdicts are those of `prove`; prompts are frozen once, and all trials run beside each other.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from timing import machine
from torch import Tensor

import microtome as mt
from microtome.circuit.attribution import Gradients, Rule, integrated, scored
from microtome.circuit.basis import side_by_side
from microtome.circuit.faithfulness import PromptScores, patched
from microtome.circuit.naming import NEURONS, basis_of
from microtome.circuit.nodesets import rankings
from microtome.circuit.proof import FORMAT
from microtome.circuit.question import Question, ask
from microtome.circuit.target import resolve
from microtome.circuit.weighing import Plan, ProofConfig, weigh
from microtome.core.artefact import RunCard
from microtome.data.row import members
from microtome.data.task import Task
from microtome.evidence import most_errors
from microtome.model.model import Model
from microtome.model.upcast import in_float32
from microtome.toy.compiled.compiling import Compiled, compiled

Scorer = Callable[[Question, torch.Generator], Float[Tensor, "l p u"]]
"""The scores of a trial that say nothing of the question, from a question and the trial's draws."""
RATE, PROMPTS = 0.05, 20


_KNOWN: dict[tuple[object, ...], Tensor] = {}


def _true_scores(question: Question) -> Float[Tensor, "l p u"]:
    """By the default rule; worked out once a prompt, since all trials ask for them."""
    target = question.target
    key = (question.model.fingerprint, *question.inputs, target.ids, target.against_ids)
    if key not in _KNOWN:
        _KNOWN[key] = scored(question, integrated(question)).units
    return _KNOWN[key]


def permuted(question: Question, draw: torch.Generator) -> Float[Tensor, "l p u"]:
    """True scores, permuted inside each (layer, position) among the units that differ, anew for each prompt."""
    own = hash((draw.initial_seed(), *question.inputs, *question.other_inputs)) % 2**62
    return permuted_alike(question, torch.Generator().manual_seed(own))


def permuted_alike(question: Question, draw: torch.Generator) -> Float[Tensor, "l p u"]:
    """The same with one permutation for all prompts of a length: not independent, where the same units differ."""
    scores = _true_scores(question)
    noise = torch.rand(scores.shape, generator=draw)
    differs = question.clean.values != question.baseline.units
    here = torch.where(differs, torch.arange(scores.shape[-1]).expand_as(scores), scores.shape[-1])
    order, places = noise.masked_fill(~differs, 2.0).argsort(-1), here.sort(-1).values
    found = torch.zeros(*scores.shape[:-1], scores.shape[-1] + 1)
    return found.scatter(-1, places, scores.gather(-1, order))[..., :-1]


def true(question: Question, draw: torch.Generator) -> Float[Tensor, "l p u"]:
    """The true scores: what has to be proven, or the other counts would say nothing."""
    return _true_scores(question)


def of_another_target(question: Question, draw: torch.Generator) -> Float[Tensor, "l p u"]:
    """Scores for two other tokens, the same two for all prompts of a trial."""
    target = question.target
    taken = torch.tensor([*target.ids, *target.against_ids])
    order = torch.randperm(len(question.model.anatomy.w_u), generator=draw)
    one, other = order[~torch.isin(order, taken)][:2].tolist()
    unrelated = replace(target, ids=(one,), texts=(str(one),), against_ids=(other,), against_texts=(str(other),))
    return scored(question, integrated(replace(question, target=unrelated))).units


def inert(made: Compiled) -> Scorer:
    """Random scores for units that are known to do nothing, zero for all others."""
    places = [tuple(map(int, name.split(".")[1:])) for name in made.truth.decoys | made.truth.idle if "unit" in name]

    def score(question: Question, draw: torch.Generator) -> Float[Tensor, "l p u"]:
        values = question.clean.values
        allowed = torch.zeros(values.shape)
        for layer, unit in places:
            allowed[layer, :, unit] = 1.0
        return allowed * (0.1 + torch.rand(values.shape, generator=draw))

    return score


def zero_where_equal(question: Question, scorer: Scorer, seed: int) -> Float[Tensor, "l p u"]:
    """The scores of a trial."""
    differs = question.clean.values != question.baseline.units
    return scorer(question, torch.Generator().manual_seed(seed)) * differs


def rule_of(scorer: Scorer, seed: int) -> Rule:
    """The scores of a trial as a rule for `prove`: a rule gives gradients, which are multiplied by changes again."""

    def rule(question: Question) -> Gradients:
        change = question.clean.values - question.baseline.units
        gradients = zero_where_equal(question, scorer, seed) / change.masked_fill(change == 0, 1.0)
        units = [one[:, : layer.values.shape[1]] for one, layer in zip(gradients, question.clean.blocks, strict=True)]
        return Gradients(units, torch.zeros_like(question.clean.frozen.embed), {})

    return rule


def questions(model: Model, task: Task) -> list[Question]:
    """Of each row that the model gets right, as `prove` asks them."""
    wide, found = in_float32(model), []
    for row in task.rows:
        target = resolve(wide, row.clean, members(row.target), members(row.against))
        pair = [wide.batch(text).tokens[0] for text in (row.clean, row.counterfactual)]
        here, there = target.of(wide.run(pair, target.sites), wide.anatomy).tolist()
        if here > 0 > there:
            found.append(ask(wide, pair[0], pair[1], target, basis_of(wide, NEURONS)))
    return found


def kept_by(question: Question, scorer: Scorer, plans: Sequence[Plan], place: int) -> list[PromptScores]:
    """What `prove` measures on one prompt, for many trials at once; one size each, and nothing removed.

    Completeness is not run: no verdict goes by it, and it would take as long again.
    """
    clean, other = question.clean.values, question.baseline.units
    norms = side_by_side([layer.norms.expand(clean.shape[1], -1) for layer in question.clean.blocks])
    differs = clean != other
    masks = [torch.zeros_like(differs)[None], differs[None]]
    for plan in plans:
        scores = zero_where_equal(question, scorer, plan.seed)
        ranked = rankings(scores, (clean - other).abs() * norms, differs, plan.draws, plan.seed + place)
        masks.append(~ranked.sets(plan.sizes[0]) & differs)
    values = patched(question, torch.cat(masks)).double().numpy()
    differing = int(differs.sum())
    return [
        PromptScores(kept[None], np.zeros_like(kept[None]), float(values[0]), float(values[1]), differing,
                     differing / question.clean.n_candidates)
        for kept in np.split(values[2:], len(plans))
    ]  # fmt: skip


@dataclass(frozen=True)
class Counts:
    """Verdicts that held: of trials on a whole task, and of as many on one prompt each; what the circuits keep."""

    task: int
    prompt: int
    trials: int
    prompts: int
    kept: float

    def __str__(self) -> str:
        return (
            f"proven on the task in {self.task} of {self.trials} ({self.prompts} prompts), "
            f"holds on a prompt in {self.prompt} of {self.trials}; circuits keep {self.kept:.2f} on average"
        )


def false_proofs(asked: Sequence[Question], scorer: Scorer, size: int, trials: int, first_seed: int = 0) -> Counts:
    """How many circuits that are none `weigh` calls proven on the task, and how many on a single prompt."""
    if len(asked) < PROMPTS:
        raise SystemExit(f"{len(asked)} prompts are answered rightly: no task is proven on fewer than {PROMPTS}")
    plans = [Plan((size,), 20, 1000 * seed, ProofConfig()) for seed in range(first_seed, first_seed + trials)]
    rows = [kept_by(question, scorer, plans, place) for place, question in enumerate(asked)]
    rows = [row for row in rows if row[0].span >= plans[0].settings.floor]
    card = RunCard("proof", FORMAT, data={"claim": "a task"})
    on_task = [weigh([row[i] for row in rows], {}, plan, "task", card) for i, plan in enumerate(plans)]
    on_prompt = [weigh([rows[i % len(rows)][i]], {}, plan, "prompt", card) for i, plan in enumerate(plans)]
    return Counts(
        sum(proof.verdict.holds for proof in on_task),
        sum(proof.verdict.holds for proof in on_prompt),
        trials,
        len(rows),
        float(np.mean([proof.faithfulness[0].value for proof in on_task])),
    )


def _cases(kinds: Sequence[str]) -> Iterator[tuple[str, Sequence[Question], Scorer, int]]:
    for name in ("count_of_counts", "share_of_a"):
        made = compiled(name)
        asked = questions(made.open(), made.pairs(PROMPTS, 0))
        if "inert" in kinds:
            yield f"inert units, {name}", asked, inert(made), 10
        if "permuted" in kinds:
            yield f"permuted scores, {name}", asked, permuted, 10
        if "alike" in kinds:
            yield f"scores permuted alike, {name}", asked, permuted_alike, 10
        if "control" in kinds:
            yield f"control, {name}", asked, true, 10
    if "target" in kinds or "permuted" in kinds:
        model = mt.open("tiny", certify=False)
        assert model.tokenizer is not None
        tokens = partial(model.tokenizer.encode, add_special_tokens=False)
        asked = questions(model, mt.task("agreement", n=10 * PROMPTS, tokens=tokens))
        if "permuted" in kinds:
            yield "permuted scores, tiny on agreement", asked, permuted, 30
        if "target" in kinds:
            yield "scores for two other tokens, tiny on agreement", asked, of_another_target, 30


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--trials", type=int, default=200)
    options.add_argument("--kinds", nargs="+", default=["inert", "permuted", "alike", "target", "control"])
    given = options.parse_args()
    print(machine())
    print(f"allowed: {most_errors(RATE, given.trials)} of {given.trials}")
    for name, asked, scorer, size in _cases(given.kinds):
        start = time.perf_counter()
        counts = false_proofs(asked, scorer, size, given.trials)
        print(f"{name}, {size} units: {counts}; {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
