"""Costs that are said before the work, held to the work: passes and products that were counted."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from microtome.circuit import costs
from microtome.circuit.costs import (
    IG_STEPS,
    RANKING_PASSES,
    proof_copies,
    proof_cost,
    said_before,
    task_cost,
    token_flops,
    trace_cost,
)
from microtome.circuit.proving import prove
from microtome.circuit.trace import trace
from microtome.core.lines import InLines
from microtome.core.progress import shown_by
from microtome.data.task import Row, Task
from microtome.model.model import Model
from microtome.model.opening import open

BALL, BOAT = "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his"
TOYS = Task("toys", (Row(BALL, BOAT, " ball", " boat"), Row(BOAT, BALL, " boat", " ball")), "here", None, 0)


@pytest.fixture(scope="module")
def model() -> Model:
    return open("tiny")


def test_a_proof_runs_as_many_copies_as_it_says(model, monkeypatch):
    graph, copies, run = trace(model, BALL, BOAT, " ball", " boat", max_nodes=30), [], Model.run

    def counting(self, inputs, *rest, **more):
        copies.append(len(inputs) if isinstance(inputs[0], list) else 0)  # each prompt alone is frozen first
        return run(self, inputs, *rest, **more)

    monkeypatch.setattr(Model, "run", counting)
    prove(model, graph, sizes=(10, 30), draws=7)
    assert sum(copies) == proof_copies(2, 7) == 2 + 2 * 2 * 9


def test_a_task_runs_as_many_rows_as_it_says(model, monkeypatch):
    rows, run = [], Model.run

    def counting(self, inputs, *rest, **more):
        rows.append(len(inputs) if isinstance(inputs[0], list) else 1)
        return run(self, inputs, *rest, **more)

    monkeypatch.setattr(Model, "run", counting)
    proof = prove(model, TOYS, sizes=(10, 30), draws=7)
    assert proof.n == 2
    backward = RANKING_PASSES - 4 - IG_STEPS  # what gradients add to the steps of the rule, in passes
    assert sum(rows) == 2 * (proof_copies(2, 7) + RANKING_PASSES - backward)
    passes = proof_copies(2, 7) + RANKING_PASSES
    assert task_cost(model, [10, 12], 2, 7).total("flops") == 22 * passes * token_flops(model)
    assert task_cost(model, [10, 12], 2, 7).memory == proof_cost(model, 12, 2, 7).memory  # one prompt at a time


def test_long_proofs_say_what_they_take_before_they_run(model, monkeypatch):
    graph = trace(model, BALL, BOAT, " ball", " boat", max_nodes=30)
    monkeypatch.setattr(costs, "LONG", 0)
    for claim, begins in ((graph, "proving: 0 (about "), (TOYS, "proving toys: 0 of 2 (about ")):
        lines = []
        with shown_by(InLines(lines.append)):
            prove(model, claim, sizes=(10,), draws=2)
        assert lines[0].startswith(begins)
        assert lines[0].endswith(" GB)")


def test_products_of_a_token_are_those_of_the_network(model):
    """The counter sees attention's own products too, which are few on a short prompt."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.module(torch.tensor([[1, 2, 3, 4]]))
    unembedding = 2 * model.anatomy.sizes.d * model.anatomy.sizes.v
    assert counter.get_total_flops() / 4 - unembedding == pytest.approx(token_flops(model), rel=0.02)


def test_a_longer_prompt_and_more_nodes_take_more(model):
    short, long = trace_cost(model, 10, 100), trace_cost(model, 20, 200)
    assert long.flops["edges"] == pytest.approx(2 * short.flops["edges"] * 21 / 11, rel=0.1)
    assert long.total("memory") > short.total("memory")
    assert proof_cost(model, 10, 4, 20).total("flops") == proof_copies(4, 20) * 10 * token_flops(model)


def test_little_work_says_nothing(model):
    assert said_before(model, trace_cost(model, 10, 100)) == ""
    assert said_before(model, trace_cost(model, 4000, 4000)).startswith("about ")
