"""Scores of patching as a graph: it holds their edges, and files, pages and tables take it like any other."""

import pytest
from patching_cases import random_pairs

from microtome.circuit.graph import Graph
from microtome.circuit.patching.patching import patch
from microtome.report.writer import report
from microtome.view.page import page
from tiny_models import tiny_model


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


def test_scores_are_a_graph_like_any_other(model, tmp_path):
    scores = patch(model, random_pairs(model, n=2), "eap")
    graph, drawn = scores.to_graph(60), scores.circuit(60)
    assert {(edge.source, edge.target) for edge in graph.edges} >= {
        (source.replace("embed", "embedding"), owner.replace("logits", "logit"))
        for source, reader in drawn
        for owner in scores.components.owners(reader)
    }
    assert sum(edge.weight for edge in graph.edges) == pytest.approx(sum(scores.edges[one] for one in drawn))
    assert {edge.side for edge in graph.edges} == {None, "query", "key"}
    assert {node.kind for node in graph.nodes} == {"embedding", "head", "mlp", "logit"}
    assert all(0 <= node.influence <= 1 for node in graph.nodes)
    assert Graph.load(graph.save(tmp_path / "graph.json")) == graph
    assert [panel.name for panel in page(graph.to_dict())] == ["question", "graph", "card"]
    assert report(graph, tmp_path / "r.html").stat().st_size > 10_000


def test_a_shared_key_stands_at_each_of_its_heads_in_equal_parts(model):
    scores = patch(model, random_pairs(model, n=2), "eap")
    whole = scores.to_graph(len(scores.edges)).edges
    mine = [
        edge.weight
        for edge in whole
        if edge.source == "head.0.1" and edge.side == "key" and edge.target.startswith("head.1")
    ]
    assert len(mine) == 4
    keys = [scores.edges["head.0.1", f"head.1.{group}.k"] for group in range(2)]
    assert sorted(mine) == pytest.approx(sorted(2 * [key / 2 for key in keys]))


def test_scores_of_nodes_alone_are_nodes_without_edges(model):
    graph = patch(model, random_pairs(model, n=2), "atp").to_graph()
    assert graph.edges == ()
    assert sum(node.influence for node in graph.nodes if node.kind != "logit") == pytest.approx(1)
    assert [panel.name for panel in page(graph.to_dict())] == ["question", "graph", "card"]
