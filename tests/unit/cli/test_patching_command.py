"""`microtome patch`, on a tiny model: what it shows and writes is what the library gives."""

import json
from pathlib import Path

import pytest

from microtome.circuit.patching.scores import Scores

ROWS = [
    {"clean": "the cat", "counterfactual": "the car", "target": "p", "against": "a"},
    {"clean": "a dog", "counterfactual": "a dot", "target": "s", "against": "x"},
]


@pytest.fixture
def asked(invoke, folder) -> list[str]:
    """The command on two rows, in the folder where `invoke` runs it."""
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return ["patch", "rows.jsonl", "--model", str(folder)]


def test_the_largest_edges_are_shown_and_all_are_written(invoke, asked):
    words = invoke(*asked, "--method", "eap", "--top", "3", "--out", "scores.json")
    assert (words.code, words.err) == (0, "")
    scores = Scores.load("scores.json")
    first, *rows, last = words.out.splitlines()
    assert first == repr(scores)
    assert [row.split()[:3] for row in rows] == [[edge[0], "→", edge[1]] for edge, _ in scores.top(3)]
    assert last == "scores: scores.json"
    document = invoke(*asked, "--method", "eap", "--top", "3", "--json")
    found = json.loads(document.out)
    assert [(edge, score) for *edge, score in found["top"]] == [([*edge], score) for edge, score in scores.top(3)]
    assert (found["method"], found["clean"], found["other"]) == ("eap", scores.clean, scores.other)
    assert found["card"]["data"]["rows"] == 2


def test_nodes_are_shown_where_no_edge_has_a_score_and_settings_are_the_methods(invoke, asked):
    more = ["--method", "activation", "--metric", "kl", "--set", 'kinds=["mlp"]', "--json"]
    found = json.loads(invoke(*asked, *more).out)
    assert {name for name, _ in found["top"]} == {"mlp.0", "mlp.1"}
    assert found["card"]["config"]["metric"] == "kl"


@pytest.mark.parametrize(
    "more, code, said",
    [
        (["--method", "eapp"], 3, "no method is called 'eapp'\n  found: 'eapp'; the closest are 'eap'"),
        (["--metric", "kll"], 3, "do:    choose one that `microtome list patching-metric` shows"),
        (["--set", "step=3"], 3, "'steps'"),
        (["--set", "steps"], 2, "take a setting"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_there_is_not_is_said(invoke, asked, more, code, said):
    done = invoke(*asked, *more)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
