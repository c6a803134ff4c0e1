"""The main job on real Gemma 3 weights: norms around both branches, windows, a vocabulary of 262,144 tokens.

`make gemma` gets the weights and runs this; `make test` does not, for the licence asks something of its users.
"""

import time

import pytest

import microtome as mt
from microtome.circuit.graph import Graph, Node
from microtome.core.errors import ModelNotFound
from microtome.model.measuring import measure
from microtome.model.model import Model

NAME = "gemma3-270m"
FRANCE, GERMANY = "The capital of France is", "The capital of Germany is"
SECONDS = 10.0  # a machine under load; the conversion, done once, takes minutes there
pytestmark = pytest.mark.gemma


@pytest.fixture(scope="module")
def gemma() -> Model:
    try:
        return mt.open(NAME)
    except ModelNotFound as absent:
        pytest.skip(str(absent))


@pytest.fixture(scope="module")
def graph(gemma) -> Graph:
    return mt.trace(gemma, FRANCE, GERMANY, " Paris", " Berlin", max_nodes=256)


def test_every_check_is_measured_and_passes(gemma):
    certificate = measure(gemma).require()
    assert [row.name for row in certificate.rows if row.passed is None] == []


def test_it_opens_again_from_what_was_kept(gemma):
    start = time.perf_counter()
    again = mt.open(NAME)
    assert time.perf_counter() - start < SECONDS
    assert again.certificate == gemma.certificate
    assert again.fingerprint == gemma.fingerprint


def test_the_tokens_are_those_of_its_tokenizer(gemma):
    assert gemma.tokens(FRANCE) == ["<bos>", "The", " capital", " of", " France", " is"]
    assert " Paris" in gemma.predict(FRANCE, top=5).tokens


def test_the_budget_of_every_row_comes_out(graph):
    assert graph.summary_numbers["largest_imbalance"] < 1e-5


def test_drawn_edges_and_remainders_sum_to_each_change(graph):
    units = [node for node in graph.nodes if node.kind in ("unit", "logit")]
    assert len(units) > 30
    for node in units:
        incoming = [edge.weight for edge in graph.edges if edge.target == node.id]
        parts = [*incoming, node.remainder, node.nonlinear]
        assert sum(parts) == pytest.approx(change(node), abs=2e-5 * sum(map(abs, parts)) + 1e-6)


def change(node: Node) -> float:
    return node.value - node.counterfactual_value


def test_the_circuit_beats_its_nulls(gemma, graph):
    proof = mt.prove(gemma, graph, sizes=(300, 1000), draws=20)
    assert proof.verdict.holds, proof.verdict.words
    assert proof.faithfulness[1].value > 0.5
    assert proof.completeness[1].value < 0.2
