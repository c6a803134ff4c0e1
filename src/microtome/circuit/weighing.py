"""From what each set of units kept to a proof: measurements with intervals and nulls, and a verdict in words."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from microtome.circuit.faithfulness import PromptScores
from microtome.circuit.proof import Proof, Verdict
from microtome.core.artefact import RunCard
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.evidence import Measurement, Null, difference_of_ratios, log_weights, null_of_the_mean, ratio_of_sums

ENOUGH_PROMPTS = 20
LITTLE = 0.1
"""Share of the answer below which a verdict says that it beats its nulls with next to nothing."""
ROUNDING = 1e-9
MEASURED_IN = "share of the logit difference"
NULLS = ("matched random", "change")


@dataclass(frozen=True)
class ProofConfig(Config):
    """Settings of a proof.

    Attributes:
        rule: by which units are ranked; None for the default, or for the graph's own.
        at: the size at which the verdict is given; None for 1,000, or the largest size where that is not asked.
        floor: smallest difference between clean and empty, in logits, for a prompt to be counted.
        level: of the intervals, and 1 minus the largest p-value that holds.
    """

    rule: str | None = None
    at: int | None = None
    floor: float = 0.5
    level: float = 0.95


@dataclass(frozen=True)
class Plan:
    """What is drawn and weighed: sizes of sets (rising), matched sets a size, the seed, and the settings."""

    sizes: tuple[int, ...]
    draws: int
    seed: int
    settings: ProofConfig

    def __post_init__(self) -> None:
        whole = all(isinstance(size, int) for size in self.sizes)
        if not self.sizes or not whole or self.sizes[0] < 1 or self.draws < 1:
            found = f"sizes {self.sizes} and {self.draws} draws"
            raise WrongUse("prove", found=found, do="give whole sizes from 1 up and at least 1 draw")
        if self.settings.at not in (None, *self.sizes):
            found = f"a verdict at {self.settings.at:,} units, and the sizes {', '.join(map(str, self.sizes))}"
            raise WrongUse("prove", found=found, do="give that size too")

    @property
    def at(self) -> int:
        """The size at which the verdict is given."""
        return self.settings.at or (1000 if 1000 in self.sizes else self.sizes[-1])


def weigh(
    scores: list[PromptScores], dropped: dict[str, int], plan: Plan, level: Literal["prompt", "task"], card: RunCard
) -> Proof:
    """Turns the scores of one prompt, or of a task's, into a proof.

    Args:
        scores: a prompt each.
        dropped: prompts left out, by reason.
        plan: what was drawn.
        level: what the verdict is about.
        card: how it was made; its data name the claim.
    """
    spans = np.array([one.span for one in scores])
    empty = np.array([one.empty for one in scores])[:, None, None]
    kept = np.stack([one.kept for one in scores]) - empty
    left = np.stack([one.removed for one in scores]) - empty
    faithful, complete = [], []
    for i, size in enumerate(plan.sizes):
        faithful.append(_measure(f"faithfulness at {size:,} units", kept[:, i], spans, plan))
        complete.append(_measure(f"completeness at {size:,} units", left[:, i], spans, plan, higher_is_better=False))
    at = plan.sizes.index(plan.at)
    return Proof(
        sizes=plan.sizes,
        faithfulness=tuple(faithful),
        completeness=tuple(complete),
        area=_area(kept, spans, plan),
        verdict=_verdict(card.data["claim"], faithful[at], complete[at], plan, level),
        n=len(scores),
        n_differing=int(np.median([one.differing for one in scores])),
        differing_share=float(np.mean([one.share for one in scores])),
        dropped=dropped,
        card=card.to_dict(),
    )


def _measure(
    name: str,
    values: Float[np.ndarray, "n s"],
    spans: Float[np.ndarray, "n"],
    plan: Plan,
    *,
    higher_is_better: bool = True,
) -> Measurement:
    """One figure with its interval over prompts and both nulls; the sets are circuit, change null, draws."""
    level, seed = plan.settings.level, plan.seed
    value, interval = ratio_of_sums(values[:, 0], spans, level, seed)
    nulls = []
    for null_name, columns in zip(NULLS, (values[:, 2:], values[:, 1:2]), strict=True):
        advantage = difference_of_ratios(values[:, 0], columns.mean(1), spans, level, seed).interval
        draws = columns[0] / spans[0] if len(spans) == 1 else null_of_the_mean(columns, spans, seed=seed)
        nulls.append(
            Null.against(null_name, float(value), draws, higher_is_better=higher_is_better, effect_interval=advantage)
        )
    return Measurement(name, float(value), interval, level, tuple(nulls), len(spans), seed, MEASURED_IN)


def _area(kept: Float[np.ndarray, "n sizes s"], spans: Float[np.ndarray, "n"], plan: Plan) -> Measurement | None:
    """Area under faithfulness over log N; none under a single size."""
    if len(plan.sizes) < 2:
        return None
    areas = np.einsum("nks,k->ns", kept, log_weights(plan.sizes))
    return _measure(f"area from {plan.sizes[0]:,} to {plan.sizes[-1]:,} units", areas, spans, plan)


def _verdict(what: str, kept: Measurement, left: Measurement, plan: Plan, level: Literal["prompt", "task"]) -> Verdict:
    """Both sides: whether the circuit is enough by itself, and whether the answer needs it."""
    lacking = _too_few_draws(plan) if level == "prompt" else _too_few_prompts(kept.n)
    held, refused = (
        ("Holds on this prompt", "Not shown on this prompt")
        if level == "prompt"
        else (f"Proven on {what}", f"Not proven on {what}")
    )
    figures = f"{_figures(kept, 'kept')}; {kept.n} prompts" if level == "task" else _figures(kept, "kept")
    if lacking:
        return Verdict(False, f"{refused}: {lacking} ({figures}).", level, plan.at)
    enough, needed = (all(one.beats(null) for null in one.nulls) for one in (kept, left))
    claim = held if enough else f"{refused}: does not beat {_lost(kept, level)}"
    little = ", though it keeps little" if enough and kept.value < LITTLE else ""
    words = f"{claim} at {plan.at:,} units{little} ({figures}). {_need(left, level, enough=enough, needed=needed)}"
    return Verdict(enough, words, level, plan.at, needed)


def _figures(measured: Measurement, done: str) -> str:
    matched, change_null = measured.nulls
    return f"{measured.value:.2f} {done}, matched random {matched.mean:.2f}, most changed {change_null.mean:.2f}"


def _lost(measured: Measurement, level: Literal["prompt", "task"]) -> str:
    """The nulls that were not beaten; of one prompt in words."""
    matched, change_null = measured.nulls
    names = {
        matched.name: f"matched random sets (p={matched.p_value:.3f})",
        change_null.name: "the units that change most",
    }
    lost = [null.name for null in measured.nulls if not measured.beats(null)]
    return " or ".join(names[name] for name in lost) if level == "prompt" else " or ".join(lost)


def _need(left: Measurement, level: Literal["prompt", "task"], *, enough: bool, needed: bool) -> str:
    """The sentence about what is left when the circuit is removed."""
    figures = _figures(left, "left without them")
    if needed:
        return f"{'They are needed too' if enough else 'Yet they are needed'} ({figures})."
    start = "They are not shown to be needed" if enough else "Nor are they shown to be needed"
    return f"{start}: removing them does not beat removing {_lost(left, level)} ({figures})."


def _too_few_draws(plan: Plan) -> str:
    """Where even a circuit above every draw could not have a p-value small enough."""
    needed = math.ceil(1 / (1 - plan.settings.level) - ROUNDING) - 1
    return f"{plan.draws} draws, {needed} are needed" if plan.draws < needed else ""


def _too_few_prompts(n: int) -> str:
    return f"{ENOUGH_PROMPTS} prompts are needed" if n < ENOUGH_PROMPTS else ""
