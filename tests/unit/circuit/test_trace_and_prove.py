"""The central path on real weights: one prompt, its graph, its proof."""

import json

import pytest
import torch

from microtome.circuit.attribution import RULES, scored
from microtome.circuit.bases.neurons import NEURONS
from microtome.circuit.change import change
from microtome.circuit.edges import direct_edges
from microtome.circuit.graph import Graph
from microtome.circuit.proof import Proof
from microtome.circuit.proving import prove
from microtome.circuit.question import ask
from microtome.circuit.target import resolve
from microtome.circuit.trace import choose, trace
from microtome.core.errors import NotFound, WrongUse
from microtome.model.replay import replay

FRANCE, GERMANY = "The capital of France is", "The capital of Germany is"
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def graph(smollm2):
    return trace(smollm2, FRANCE, GERMANY, " Paris", " Berlin", max_nodes=256)


def test_the_budget_of_every_row_comes_out(graph):
    assert graph.summary_numbers["largest_imbalance"] < 1e-5


def test_drawn_edges_and_remainders_sum_to_each_change(graph):
    for node in graph.nodes:
        if node.kind in ("unit", "logit"):
            incoming = sum(edge.weight for edge in graph.edges if edge.target == node.id)
            terms = sum(abs(edge.weight) for edge in graph.edges if edge.target == node.id)
            whole = incoming + node.remainder + node.nonlinear
            scale = terms + abs(node.remainder) + abs(node.nonlinear)
            assert whole == pytest.approx(node.value - node.counterfactual_value, abs=2e-5 * scale + 1e-6)


def test_heads_and_residual_sum_to_the_edge(graph):
    """What reaches the last position from an earlier one went through heads alone."""
    split = [edge for edge in graph.edges if edge.residual is not None]
    assert len(split) == sum(not edge.source.startswith(("bias", "position")) for edge in graph.edges)
    moved = [edge for edge in split if ".3." in edge.source and edge.target == "logit"]
    assert moved
    for edge in moved:
        assert edge.residual == pytest.approx(0, abs=1e-5 * abs(edge.weight) + 1e-6)


def test_a_graph_comes_back_from_its_file(graph, tmp_path):
    assert Graph.load(graph.save(tmp_path / "graph.json")) == graph


def test_tables_hold_every_node_and_edge(graph):
    nodes, edges = graph.to_pandas()
    assert (len(nodes), len(edges)) == (len(graph.nodes), len(graph.edges))
    assert graph.to_networkx().number_of_edges() == len(graph.edges)


def test_the_circuit_beats_its_matched_sets(smollm2, graph, tmp_path):
    proof = prove(smollm2, graph, sizes=(300, 1000), draws=20)
    assert proof.verdict.holds
    assert proof.faithfulness[1].value > 0.4
    assert proof.completeness[1].value < 0.4
    assert Proof.load(proof.save(tmp_path / "proof.json")) == proof
    json.dumps(proof.to_dict(), allow_nan=False)


def test_without_a_counterfactual_values_are_traced(smollm2):
    graph = trace(smollm2, FRANCE, max_nodes=64)
    assert graph.target == (" Paris",)
    assert graph.summary_numbers["largest_imbalance"] < 1e-5


def test_prompts_of_different_length_show_their_tokens(smollm2):
    with pytest.raises(WrongUse) as caught:
        trace(smollm2, FRANCE, "The capital of the Netherlands is")
    assert "' France'" in str(caught.value)
    assert "' Netherlands'" in str(caught.value)


def test_a_target_of_several_tokens_shows_them(smollm2):
    with pytest.raises(NotFound, match="tokens of it"):
        trace(smollm2, FRANCE, GERMANY, " Antidisestablishment")


def test_edges_on_real_weights_equal_autograd(smollm2):
    """In float32, to 1e-5 of each row's largest edge; the tiny families are held to 1e-10 in float64."""
    target = resolve(smollm2, FRANCE, " Paris", " Berlin")
    question = ask(smollm2, FRANCE, GERMANY, target, NEURONS)
    flow = change(question.clean, question.other, target)
    chosen = choose(scored(question, RULES.get("half")(question)).units, 512)
    matrix = direct_edges(question.clean, flow, target, chosen)
    passed = replay(question.clean.frozen, question.clean.frozen.embed.clone().requires_grad_(), cut=True)
    for row in range(60, 512, 75):
        layer, position, unit = (int(x[row]) for x in (chosen.blocks, chosen.positions, chosen.units))
        sources = [passed.sources[i] for i in range(layer)]
        read = passed.units[layer][position, unit]
        grads = torch.autograd.grad(read, sources, retain_graph=True, allow_unused=True, materialize_grads=True)
        theirs = torch.cat(
            [
                (grad * flow.units[i])[chosen.positions[here], chosen.units[here]]
                for i, grad in enumerate(grads)
                for here in [chosen.at(i)]
            ]
        )
        assert (matrix.units[row, : len(theirs)] - theirs).abs().max() < 1e-5 * matrix.linear[row].abs().max()
