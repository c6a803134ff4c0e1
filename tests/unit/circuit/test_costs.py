"""Costs that are said before the work, held to the work: passes and products that were counted."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from microtome.circuit.costs import proof_copies, proof_cost, said_before, token_flops, trace_cost
from microtome.circuit.proving import prove
from microtome.circuit.trace import trace
from microtome.model.model import Model
from microtome.model.opening import open

BALL, BOAT = "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his"


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
    assert said_before(trace_cost(model, 10, 100)) == ""
    assert said_before(trace_cost(model, 4000, 4000)).startswith("about ")
