"""From what each set of units kept to a proof: measurements with intervals and nulls, and a verdict in words."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from microtome.circuit.attribution import DEFAULT_RULE
from microtome.circuit.faithfulness import PromptScores
from microtome.circuit.proof import FORMAT, Proof, Verdict
from microtome.core.artefact import RunCard
from microtome.core.config import Config
from microtome.evidence import Measurement, Null, difference_of_ratios, log_weights, null_of_the_mean, ratio_of_sums

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

    rule: str = DEFAULT_RULE
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

    @property
    def at(self) -> int:
        """The size at which the verdict is given."""
        asked = self.settings.at or 1000
        return asked if asked in self.sizes else self.sizes[-1]


def weigh(
    model: dict[str, Any],
    what: str,
    scores: list[PromptScores],
    dropped: dict[str, int],
    plan: Plan,
    level: Literal["prompt", "task"],
) -> Proof:
    """Turns the scores of one prompt, or of a task's, into a proof.

    Args:
        model: the card of the model.
        what: is claimed, in words.
        scores: a prompt each.
        dropped: prompts left out, by reason.
        plan: what was drawn.
        level: what the verdict is about.
    """
    spans = np.array([one.span for one in scores])
    empty = np.array([one.empty for one in scores])[:, None, None]
    kept = np.stack([one.kept for one in scores]) - empty
    left = np.stack([one.removed for one in scores]) - empty
    faithful = tuple(
        _measure(f"faithfulness at {n:,} units", kept[:, i], spans, plan) for i, n in enumerate(plan.sizes)
    )
    complete = tuple(
        _measure(f"completeness at {n:,} units", left[:, i], spans, plan, higher_is_better=False)
        for i, n in enumerate(plan.sizes)
    )
    return Proof(
        sizes=plan.sizes,
        faithfulness=tuple(faithful),
        completeness=tuple(complete),
        area=_area(kept, spans, plan),
        verdict=_verdict(what, faithful[plan.sizes.index(plan.at)], plan, level),
        n=len(scores),
        n_differing=int(np.median([one.differing for one in scores])),
        differing_share=float(np.mean([one.share for one in scores])),
        dropped=dropped,
        card=RunCard("proof", FORMAT, plan.seed, plan.settings.to_dict(), model, {"claim": what}).to_dict(),
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


def _verdict(what: str, measured: Measurement, plan: Plan, level: Literal["prompt", "task"]) -> Verdict:
    matched, change_null = measured.nulls
    size = f"{plan.at:,} units"
    figures = f"{measured.value:.2f} kept, matched random {matched.mean:.2f}, most changed {change_null.mean:.2f}"
    lost = [null.name for null in measured.nulls if not measured.beats(null)]
    if level == "prompt":
        told = {
            matched.name: f"matched random sets (p={matched.p_value:.3f})",
            change_null.name: "the units that change most",
        }
        failed = [told[name] for name in lost]
        held, refused = "Holds on this prompt", "Not shown on this prompt"
    else:
        figures += f"; {measured.n} prompts"
        if measured.n < ENOUGH_PROMPTS:
            words = f"Not proven: {measured.n} prompts, {ENOUGH_PROMPTS} are needed ({figures})."
            return Verdict(False, words, level, plan.at)
        failed = lost
        held, refused = f"Proven on {what}", f"Not proven on {what}"
    claim = f"{refused}: does not beat {' or '.join(failed)}" if failed else held
    return Verdict(not failed, f"{claim} at {size} ({figures}).", level, plan.at)
