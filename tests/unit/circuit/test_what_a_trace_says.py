"""What a trace says in words: the model's own answers, the tokens that a unit moves, and what was chosen and drawn."""

import pytest
import torch

from microtome.circuit.answers import _warning
from microtome.circuit.nodes import NOISE
from microtome.circuit.target import TokenTarget
from microtome.circuit.trace import trace
from microtome.circuit.traced import TraceConfig
from microtome.model.frozen import freeze
from microtome.model.opening import open
from microtome.report.writer import report

BALL, BOAT = "Tom has a red ball. Tom likes his", "Tom has a red boat. Tom likes his"
CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]


@pytest.fixture(scope="module")
def model():
    return open("tiny")


def test_a_target_that_the_model_does_not_answer_is_said(model, tmp_path):
    probabilities = model.run(BALL, ["logits"])["logits"][0, -1].softmax(0)
    graph = trace(model, BALL, BOAT, " car", " ball", max_nodes=30)
    found = graph.card["data"]["answers"]
    car, ball = found["clean"]["named"]
    assert car == [" car", pytest.approx(float(probabilities[graph.target_ids[0]])), 4]
    assert ball[2] == 1
    assert found["clean"]["top"][0][0] == " ball"
    assert found["warning"].startswith("the model does not answer ' car' here: it is number 4 at ")
    assert f"note: {found['warning']}" in graph.summary()
    assert "does not answer" in report(graph, tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_target_that_comes_first_needs_no_warning(model):
    graph = trace(model, BALL, BOAT, " ball", " boat", max_nodes=30)
    assert graph.card["data"]["answers"]["warning"] is None
    assert "note:" not in graph.summary()


def test_what_stands_at_the_first_token_is_said_without_a_counterfactual(model):
    without_start = list(model.batch(BALL).tokens[0])[1:]  # the token that every text begins with is as on average
    graph = trace(model, without_start, target=" ball", max_nodes=40, config=TraceConfig(ranked=40))
    at_first = sum(abs(score) for _, position, _, score in graph.ranking if position == 0)
    every = sum(abs(score) for *_, score in graph.ranking)
    assert 0 < at_first < every
    assert graph.summary_numbers["share_at_position_0"] == pytest.approx(at_first / every, rel=1e-5)
    assert sum(node.position == 0 for node in graph.nodes) == 1
    assert (
        f"  at position 0: 1 node, {at_first / every:.0%} of the chosen units' attribution; "
        "models park attention there whatever the text says"
    ) in graph.summary().splitlines()
    against = trace(model, BALL, BOAT, " ball", " boat", max_nodes=30)
    assert "share_at_position_0" not in against.summary_numbers
    assert "at position 0" not in against.summary()


def test_a_missing_space_is_named():
    target = TokenTarget((1,), ("Paris",), (), ())
    clean = {"top": [[" Paris", 0.77], [" the", 0.06]], "named": [["Paris", 0.0001, 30]]}
    assert _warning(target, clean).endswith("; ' Paris', which differs by a space, has 77.0%")


def test_the_tokens_of_a_unit_go_by_the_change_of_what_it_writes(tiny):
    model = tiny("llama")
    graph = trace(model, CLEAN, OTHER, (5, 8), 6, max_nodes=60, config=TraceConfig(node_share=1.0))
    frozen, anatomy = freeze(model, CLEAN), model.anatomy
    weights, targets, sources = graph.matrix
    units = [node for node in graph.nodes if node.kind == "unit"]
    for node in units:
        change = node.value - node.counterfactual_value
        write = anatomy.layers[node.layer].w_down[:, node.unit] * change
        logits = anatomy.final_norm.push(write, frozen.final_scale[-1]) @ anatomy.w_u.T
        most = float(logits.abs().max())
        assert bool(node.moves) == (most >= NOISE)
        if node.moves:
            expected = [one for one in (float(logits.max()), float(logits.min())) if abs(one) == most]
            assert max((weight for _, weight in node.moves), key=abs) == pytest.approx(expected[0])
            assert all(weight > 0 for _, weight in node.promotes)
            assert all(weight < 0 for _, weight in node.suppresses)
        assert node.direct == pytest.approx(float(weights[targets.index("logit"), sources.index(node.id)]))
    assert any(node.moves for node in units)
    assert torch.tensor([node.direct for node in units]).abs().max() > 0


def test_what_was_chosen_and_what_is_drawn_are_said_apart(model):
    """Few units, which what was not chosen drowns: they are drawn, though no drawn edge leads to some."""
    graph = trace(model, BALL, BOAT, " ball", " boat", max_nodes=8)
    assert sum(node.kind == "unit" for node in graph.nodes) >= 3
    assert graph.edges
    assert f"8 units chosen; {len(graph.nodes)} nodes and {len(graph.edges)} edges drawn" in graph.summary()
