"""Panels: whole results pass with their numbers intact; every way to be broken is refused by name."""

import copy
import json
import math

import pytest
import sample_results as samples

from microtome.core.errors import FormatError
from microtome.view.page import page
from microtome.view.panel import PANELS
from microtome.view.panels.card import card_panel
from microtome.view.panels.graph import graph_panel
from microtome.view.panels.proof import proof_panel
from microtome.view.panels.question import question_panel


@pytest.fixture
def graph():
    return samples.graph()


@pytest.fixture
def proof():
    return samples.proof(n=40)


def test_a_page_has_every_panel_in_order(graph, proof):
    drawn = page(graph, proof)
    assert [one.name for one in drawn] == ["question", "graph", "proof", "card"]
    assert {entry.name for entry in PANELS} == {one.name for one in drawn}
    assert all(f'panel("{one.name}"' in one.script.read_text() for one in drawn)
    json.dumps([one.to_dict() for one in drawn], allow_nan=False)


def test_without_a_proof_the_page_says_that_nothing_was_tested(graph):
    drawn = page(graph)
    assert [one.name for one in drawn] == ["question", "graph", "card"]
    verdict = drawn[0].data["verdict"]
    assert (verdict["tested"], verdict["holds"]) == (False, False)
    assert verdict["words"].startswith("Not tested.")


def test_numbers_arrive_as_they_left(graph):
    panel = graph_panel(graph)
    for given, shown in zip(graph["nodes"], panel["nodes"], strict=True):
        assert shown["id"] == given["id"]
        for key in ("value", "counterfactual_value", "attribution", "influence", "remainder"):
            assert shown[key] == pytest.approx(given[key], rel=1e-6)
        nonlinear = given["nonlinear"]
        assert shown["nonlinear"] == (None if nonlinear is None else pytest.approx(nonlinear, rel=1e-6))
    for given, (source, target, weight, residual, heads, side) in zip(graph["edges"], panel["edges"], strict=True):
        assert (graph["nodes"][source]["id"], graph["nodes"][target]["id"]) == (given["source"], given["target"])
        assert (weight, residual) == pytest.approx((given["weight"], given["residual"]), rel=1e-6)
        assert [tuple(head[:2]) for head in heads] == [tuple(head[:2]) for head in given["heads"]]
        assert side is None


def test_making_a_panel_leaves_the_result_as_it_was(graph, proof):
    before = copy.deepcopy((graph, proof))
    page(graph, proof)
    assert (graph, proof) == before


def test_the_fingerprint_is_of_the_question_and_the_nodes(graph):
    same = copy.deepcopy(graph)
    same["card"] = same["card"] | {"command": "another command"}
    other = samples.graph(seed=1)
    assert graph_panel(same)["fingerprint"] == graph_panel(graph)["fingerprint"]
    assert graph_panel(other)["fingerprint"] != graph_panel(graph)["fingerprint"]


def broken(change):
    """A graph with one thing changed."""
    graph = samples.graph()
    change(graph)
    return graph


@pytest.mark.parametrize(
    "change, place, found",
    [
        (
            lambda g: g["nodes"][1].update(id=g["nodes"][0]["id"]),
            "graph.nodes[1].id",
            "which graph.nodes[0] carries too",
        ),
        (
            lambda g: g["edges"][3].update(target="nowhere"),
            "graph.edges[3].target",
            "'nowhere', and no node has that id",
        ),
        (lambda g: g["nodes"][2].update(value=math.nan), "graph.nodes[2].value", "nan, which is no finite number"),
        (lambda g: g["nodes"][2].update(value="3"), "graph.nodes[2].value", "'3', which is no finite number"),
        (lambda g: g["nodes"][2].update(value=True), "graph.nodes[2].value", "True, which is no finite number"),
        (lambda g: g["edges"][0].update(weight=math.inf), "graph.edges[0].weight", "inf, which is no finite number"),
        (lambda g: g["edges"][0].pop("weight"), "graph.edges[0].weight", "no such key"),
        (lambda g: g["edges"][0].update(residual="3"), "graph.edges[0].residual", "'3', which is no finite number"),
        (lambda g: g["nodes"][2].update(influence=1.5), "graph.nodes[2].influence", "1.5, which is no share"),
        (lambda g: g["nodes"][2].update(position=5), "graph.nodes[2].position", "the positions are 0 to 4"),
        (lambda g: g["nodes"][2].update(layer=31), "graph.nodes[2].layer", "the layers are 0 to 29, and 30 for logits"),
        (lambda g: g["nodes"][2].update(kind="neuron"), "graph.nodes[2].kind", "which is none of embedding"),
        (lambda g: g["nodes"][2].update(moves=[["a"]]), "graph.nodes[2].moves", "which is no [token, weight]"),
        (lambda g: g["edges"][0].update(heads=[[1, 2]]), "graph.edges[0].heads", "which is no [layer, head, weight]"),
        (lambda g: g["edges"][0].update(heads=[[99, 2, 0.1]]), "graph.edges[0].heads.layer", "the layers are 0 to 29"),
        (lambda g: g.update(nodes={}), "graph.nodes", "a dict, which is no list"),
    ],
)
def test_a_broken_graph_is_refused_by_name(change, place, found):
    with pytest.raises(FormatError) as caught:
        graph_panel(broken(change))
    assert caught.value.what == f"show {place}"
    assert found in caught.value.found


@pytest.mark.parametrize(
    "change, place",
    [
        (lambda g: g.update(counterfactual_tokens=["The"]), "graph.counterfactual_tokens"),
        (lambda g: g.update(target_position=5), "graph.target_position"),
        (lambda g: g.update(tokens=["The", 3, "a", "b", "c"]), "graph.tokens"),
    ],
)
def test_a_broken_question_is_refused_by_name(change, place):
    with pytest.raises(FormatError) as caught:
        question_panel(broken(change))
    assert caught.value.what == f"show {place}"


@pytest.mark.parametrize(
    "change, place, found",
    [
        (lambda p: p["faithfulness"].pop(), "proof.faithfulness", "3 measurements for 4 sizes"),
        (lambda p: p["sizes"].reverse(), "proof.sizes", "no rising numbers"),
        (lambda p: p.update(sizes=[0, 1, 2, 3]), "proof.sizes", "no rising numbers"),
        (
            lambda p: p["completeness"][1]["nulls"][0].update(draws=[]),
            "proof.completeness[1].nulls[0].draws",
            "no null",
        ),
        (lambda p: p["faithfulness"][0].update(interval=[1, 0]), "proof.faithfulness[0].interval", "no interval"),
        (lambda p: p["faithfulness"][0].update(value=None), "proof.faithfulness[0].value", "no finite number"),
        (lambda p: p["verdict"].update(holds="yes"), "proof.verdict.holds", "neither true nor false"),
    ],
)
def test_a_broken_proof_is_refused_by_name(proof, change, place, found):
    change(proof)
    with pytest.raises(FormatError) as caught:
        proof_panel(proof)
    assert caught.value.what == f"show {place}"
    assert found in caught.value.found


def test_differing_tokens_are_marked_and_a_negative_target_position_is_resolved(graph):
    panel = question_panel(graph | {"target_position": -1})
    assert [chip["differs"] for chip in panel["prompt"]] == [False, False, False, True, False]
    assert panel["counterfactual"][3] == {"text": "␣Germany", "differs": True}
    assert panel["target_position"] == 4


def test_the_null_of_a_curve_is_its_mean_and_the_middle_of_its_draws(proof):
    proof["faithfulness"][0]["nulls"][0] |= {"draws": [0.1 * i for i in range(41)], "effect": -1.79}
    point = proof_panel(proof)["curves"][0]["nulls"][0]["points"][0]
    assert (point["mean"], point["low"], point["high"]) == pytest.approx((2.0, 0.1, 3.9))
    assert (point["draws"], point["size"]) == (41, 100)


def test_an_advantage_is_positive_where_lower_is_better_and_the_value_is_lower(proof):
    nulls = proof["completeness"][0]["nulls"]
    assert nulls[0]["effect"] < 0
    shown = proof_panel(proof)["curves"][1]["nulls"][0]["points"][0]
    assert shown["advantage"] == pytest.approx(-nulls[0]["effect"], rel=1e-6)


def test_the_curves_say_what_stood_in_for_the_units(proof):
    assert "its values on the counterfactual" in proof_panel(proof)["curves"][0]["says"]
    proof["card"] = proof["card"] | {"data": {"counterfactual_ids": None}}
    panel = proof_panel(proof)
    assert panel["neutral"] is True
    assert all("its means over neutral prompts" in curve["says"] for curve in panel["curves"])


def headline(proof):
    return question_panel(samples.graph(), proof)["verdict"]


def test_a_null_that_is_not_beaten_is_named_at_the_head():
    verdict = headline(samples.proof(holds=False, n=40))
    assert verdict["holds"] is False
    assert [(null["null"], null["beaten"]) for null in verdict["nulls"]] == [
        ("matched random", True),
        ("change", False),
    ]
    assert "does not beat the change null: 0.81 against 0.84" in verdict["nulls"][1]["words"]


def test_one_draw_is_called_a_comparison_and_no_test():
    words = [null["words"] for null in headline(samples.proof())["nulls"]]
    assert words == [
        "At 3,000 units it beats the matched random null: 0.81 against 0.17 (p = 0.0476 over 20 draws).",
        "At 3,000 units it lies above the change null: 0.81 against 0.36 (1 draw: a comparison, not a test).",
    ]


def test_the_head_goes_by_the_level_of_the_proof():
    proof = samples.proof()
    proof["faithfulness"][-1]["level"] = 0.99
    assert headline(proof)["nulls"][0]["words"].startswith("At 3,000 units it does not beat the matched random null")


def test_an_advantage_whose_interval_holds_zero_is_not_beaten():
    proof = samples.proof(n=40)
    proof["faithfulness"][-1]["nulls"][1]["advantage_interval"] = [-0.01, 0.9]
    assert [null["beaten"] for null in headline(proof)["nulls"]] == [True, False]


def test_the_size_that_a_verdict_states_is_the_one_compared():
    proof = samples.proof(n=40)
    proof["verdict"]["size"] = 300
    assert headline(proof)["nulls"][0]["words"].startswith("At 300 units")
    proof["verdict"]["size"] = 301
    with pytest.raises(FormatError, match="none of the sizes"):
        headline(proof)


def test_the_card_is_shown_whole(graph):
    rows = dict(card_panel({"graph": graph})["cards"][0]["rows"])
    assert rows["model · fingerprint"] == "3f9c0b7d21aa4e55"
    assert rows["config · max nodes"] == "1,024"
    assert rows["command"] == samples.CARD["command"]
