"""From scores to verdicts: made-up prompts whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from microtome.circuit.faithfulness import PromptScores
from microtome.circuit.sizes import usual_draws
from microtome.circuit.weighing import Plan, ProofConfig, weigh
from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse

SIZES = (10, 100, 1000)
CARD = RunCard("proof", 1, data={"claim": "task made up"})


def prompts(n: int, circuit: float, change: float, draws: int = 19, seed: int = 0) -> list[PromptScores]:
    """Prompts with a span of 2 where sets keep about the given shares at every size, and random ones a tenth."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        shares = np.concatenate([[circuit, change], np.full(draws, 0.1)])
        kept = 1 + 2 * (shares + rng.normal(0, 0.05, (len(SIZES), draws + 2)))
        removed = 1 + 2 * (1 - shares + rng.normal(0, 0.05, (len(SIZES), draws + 2)))
        found.append(PromptScores(kept, removed, clean=3.0, empty=1.0, differing=500, share=0.4))
    return found


def proof_of(scores: list[PromptScores], level: str):
    return weigh(scores, {}, Plan(SIZES, 19, 0, ProofConfig()), level, CARD)


def test_short_prompts_are_given_more_draws():
    """4,000 tokens, two runs a draw and size: 5 tokens and 4 sizes would allow the most, 35 tokens the fewest."""
    assert [usual_draws(n, 4) for n in (1, 5, 10, 20, 35, 1000)] == [100, 100, 50, 25, 20, 20]


def test_a_circuit_that_beats_both_nulls_is_proven():
    proof = proof_of(prompts(30, 0.8, 0.3), "task")
    assert proof.verdict.holds
    assert proof.verdict.words.startswith("Proven on task made up at 1,000 units (0.8")
    for measured in (*proof.faithfulness, proof.area):
        low, high = measured.interval
        assert low < measured.value < high
        assert measured.value == pytest.approx(0.8, abs=0.03)
        assert [null.mean for null in measured.nulls] == pytest.approx([0.1, 0.3], abs=0.03)
    assert proof.completeness[2].value == pytest.approx(0.2, abs=0.03)
    assert all(map(proof.completeness[2].beats, proof.completeness[2].nulls))


def test_the_units_that_change_most_can_do_as_well():
    verdict = proof_of(prompts(30, 0.8, 0.8), "task").verdict
    assert not verdict.holds
    assert verdict.words.startswith("Not proven on task made up: does not beat change at 1,000 units")


def test_too_few_prompts_prove_nothing():
    verdict = proof_of(prompts(19, 0.9, 0.1), "task").verdict
    assert not verdict.holds
    assert "20 prompts are needed" in verdict.words
    assert "19 prompts)" in verdict.words


@pytest.mark.parametrize(
    "circuit, change, says",
    [
        (0.8, 0.3, "Holds on this prompt at 1,000 units"),
        (0.1, 0.0, "Not shown on this prompt: does not beat matched random sets (p="),
        (0.6, 0.9, "Not shown on this prompt: does not beat the units that change most"),
    ],
)
def test_one_prompt_is_told_in_words(circuit, change, says):
    assert proof_of(prompts(1, circuit, change), "prompt").verdict.words.startswith(says)


def test_the_verdict_stands_at_the_size_that_was_asked():
    assert Plan((10, 50), 5, 0, ProofConfig()).at == 50
    assert Plan((10, 50), 5, 0, ProofConfig(at=10)).at == 10
    assert Plan((10, 1000, 3000), 5, 0, ProofConfig()).at == 1000
    with pytest.raises(WrongUse, match="a verdict at 30 units, and the sizes 10, 50"):
        Plan((10, 50), 5, 0, ProofConfig(at=30))


@pytest.mark.parametrize("level, needed", [(0.95, 19), (0.9, 9), (0.99, 99)])
def test_a_prompt_needs_draws_enough_for_its_level(level, needed):
    """With one draw fewer no p-value is small enough; with these, the smallest just is."""
    for draws, holds in ((needed, True), (needed - 1, False)):
        plan = Plan(SIZES, draws, 0, ProofConfig(level=level))
        verdict = weigh(prompts(1, 0.8, 0.3, draws), {}, plan, "prompt", CARD).verdict
        assert verdict.holds is holds
        assert (f"{needed} are needed" in verdict.words) is not holds


def test_a_verdict_on_next_to_nothing_says_so():
    few = [replace(one, kept=one.kept - 1.5, removed=one.removed) for one in prompts(30, 0.8, 0.3)]
    words = proof_of(few, "task").verdict.words
    assert words.startswith("Proven on task made up at 1,000 units, though it keeps little (0.0")


def test_one_size_has_no_area():
    plan = Plan((10,), 19, 0, ProofConfig())
    single = [
        PromptScores(one.kept[:1], one.removed[:1], one.clean, one.empty, one.differing, one.share)
        for one in prompts(3, 0.8, 0.3)
    ]
    proof = weigh(single, {}, plan, "task", CARD)
    assert proof.area is None
    assert proof.areas == {}


@pytest.mark.parametrize(
    "circuit, left, holds, needed, says",
    [
        (0.8, 0.1, True, True, "They are needed too (0.1"),
        (0.8, 0.95, True, False, "They are not shown to be needed: removing them does not beat removing"),
        (0.1, 0.1, False, True, "Yet they are needed (0.1"),
        (0.1, 0.95, False, False, "Nor are they shown to be needed"),
    ],
)
def test_a_verdict_speaks_of_both_sides(circuit, left, holds, needed, says):
    """Enough, needed, both, neither: what is left is set by hand, its nulls as `prompts` has them."""
    made = []
    for one in prompts(30, circuit, 0.3):
        removed = one.removed.copy()
        removed[:, 0] = one.empty + left * one.span
        made.append(replace(one, removed=removed))
    verdict = proof_of(made, "task").verdict
    assert (verdict.holds, verdict.needed) == (holds, needed)
    assert says in verdict.words
