"""A few trials of `benchmarks/false_proofs.py`, and that what it counts is what `prove` says."""

import importlib
import sys
from pathlib import Path

import pytest
import torch

import microtome as mt
from microtome.circuit.attribution import RULES, integrated, scored
from microtome.circuit.weighing import ProofConfig
from microtome.evidence import most_errors
from microtome.toy.compiled.compiling import compiled

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SIZE, TRIALS = 10, 6


@pytest.fixture(scope="module")
def trials():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("false_proofs")
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def made():
    return compiled("count_of_counts")


@pytest.fixture(scope="module")
def asked(trials, made):
    return trials.questions(made.open(), made.pairs(20, 0))


def test_trials_beside_each_other_are_those_of_prove(trials, made, monkeypatch):
    monkeypatch.setattr(RULES, "_entries", dict(RULES._entries))
    RULES.add("a trial", trials.rule_of(trials.permuted, 3), summary="permuted scores", home=__name__)
    task = made.pairs(5, 0)
    model = made.open()
    proof = mt.prove(model, task, sizes=(SIZE,), seed=3, config=ProofConfig(rule="a trial"))
    plan = trials.Plan((SIZE,), 20, 3, ProofConfig())
    rows = [trials.kept_by(one, trials.permuted, [plan], i)[0] for i, one in enumerate(trials.questions(model, task))]
    card = trials.RunCard("proof", 1, data={"claim": "a task"})
    beside = trials.weigh(rows, {}, plan, "task", card).faithfulness[0]
    assert beside.value == pytest.approx(proof.faithfulness[0].value, abs=1e-5)
    for null, same in zip(beside.nulls, proof.faithfulness[0].nulls, strict=True):
        assert null.draws == pytest.approx(same.draws, abs=1e-5)
        assert null.advantage_interval == pytest.approx(same.advantage_interval, abs=1e-5)


def test_permuted_scores_are_the_true_ones_in_another_place_of_the_same_cell(trials, asked):
    for question in asked[:5]:
        true = scored(question, integrated(question)).units
        moved = trials.permuted(question, torch.Generator().manual_seed(1))
        differs = question.clean.values != question.baseline.units
        assert (moved[~differs] == 0).all()
        assert torch.equal((moved * differs).sort(-1).values, (true * differs).sort(-1).values)
        assert not torch.equal(moved, true)


def test_a_circuit_of_inert_units_has_no_other(trials, made, asked):
    names = made.truth.decoys | made.truth.idle
    for question in asked:
        scores = trials.zero_where_equal(question, trials.inert(made), 0)
        layers, _, units = torch.nonzero(scores, as_tuple=True)
        assert len(layers) >= SIZE  # else units that do something would fill the set
        assert {f"unit.{layer}.{unit}" for layer, unit in zip(layers.tolist(), units.tolist(), strict=True)} <= names


@pytest.mark.parametrize("kind", ["permuted", "inert"])
def test_what_is_no_circuit_is_rarely_called_one(trials, made, asked, kind):
    scorer = trials.inert(made) if kind == "inert" else trials.permuted
    counts = trials.false_proofs(asked, scorer, SIZE, TRIALS)
    assert counts.prompts == 20
    assert max(counts.task, counts.prompt) <= most_errors(trials.RATE, TRIALS)


def test_scores_for_two_other_tokens_are_other_scores(trials, asked):
    one, other = (trials.of_another_target(asked[0], torch.Generator().manual_seed(seed)) for seed in (0, 5))
    assert not torch.equal(one, other)
    assert not torch.equal(one, trials.true(asked[0], torch.Generator()))
