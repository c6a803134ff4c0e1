"""Methods on compiled circuits: exact ones find them, shuffled ones do not, and a run that was stopped goes on."""

import json

import numpy as np
import pytest

from microtome.bench.circuits import suite
from microtome.bench.circuits.finders import LAYERS, NEURONS, WEIGHTS, Claims, all_finders, finder
from microtome.bench.circuits.scoring import CELLS, COMPONENTS, EDGES, RANDOM, SEEN, TRAINED, UNITS, in_sight, levels
from microtome.bench.circuits.standings import standings
from microtome.bench.circuits.suite import SuiteConfig, score
from microtome.circuit.patching.components import Components
from microtome.core.errors import UnknownName, WrongUse
from microtome.report.circuits import PAGE, PICTURE, RECORD, circuits_report
from microtome.toy.compiled.truth import Truth, Wiring

CONFIG = SuiteConfig(networks=("xor", "induction", "held-two_back"), seeds=1, rows=4, draws=20)
FINDERS = ("activation", "eap", NEURONS, LAYERS, WEIGHTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("circuits")


@pytest.fixture(scope="module")
def found(folder):
    _, made = circuits_report(folder, CONFIG, FINDERS)
    return {one.finder: one for one in made}


def test_exact_patching_finds_what_was_compiled_and_no_null_does(found):
    for level in (COMPONENTS, UNITS):
        assert found["activation"].solved[level] == ("xor", "induction")
        made = found["activation"].figures[level, "auroc"]
        assert made.value == 1.0
        assert made.n == 2
        assert {null.name for null in made.nulls} == {RANDOM, CELLS, WEIGHTS}
        assert all(made.beats(null) for null in made.nulls if len(null.draws) > 1)
    assert found[WEIGHTS].faithfulness.value < 0.5
    assert abs(found["activation"].controls[UNITS] - 0.5) < 0.3


def test_it_finds_what_a_trained_network_was_held_to(found):
    assert found["activation"].solved[TRAINED] == ("held-two_back",)
    assert found["activation"].figures[TRAINED, "auroc"].n == 1
    assert found[NEURONS].figures[TRAINED, "precision"].value == 1.0
    assert found[WEIGHTS].solved[TRAINED] == ()


def test_saturated_attention_hides_queries_and_keys_from_first_order_methods(found):
    assert found["eap"].figures[EDGES, "precision"].value == 1.0
    assert found["eap"].figures[EDGES, "recall"].value < 0.9
    assert found["eap"].solved[EDGES] == ("xor",)


def test_the_trace_names_what_it_can_see(found):
    trace = found[NEURONS]
    assert trace.figures[SEEN, "precision"].value == trace.figures[SEEN, "recall"].value == 1.0
    assert trace.figures[UNITS, "recall"].value < 1.0  # the head of previous tokens, which is read by keys
    assert (EDGES, "recall") not in trace.figures


def test_what_was_scored_is_not_scored_again(folder, found, monkeypatch):
    before = standings(score(folder, CONFIG, FINDERS))
    monkeypatch.setattr(suite.Bench, "scored", lambda *_: pytest.fail("was there"))
    assert standings(score(folder, CONFIG, FINDERS)) == before == list(found.values())
    with pytest.raises(pytest.fail.Exception, match="was there"):
        score(folder, SuiteConfig(networks=("xor",), seeds=1, rows=3, draws=20), ["activation"])


def test_the_page_tells_every_level_and_program(folder, found):
    page = (folder / PAGE).read_text(encoding="utf-8")
    for words in (
        "## Heads and MLPs",
        "## Heads and units in sight",
        "| xor |",
        "| held-two_back |",
        "null: weight magnitude",
        PICTURE,
    ):
        assert words in page
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    assert [one["finder"] for one in record["standings"]] == list(FINDERS)
    assert (folder / PICTURE).stat().st_size > 10_000


def test_levels_ask_for_the_causal_and_forgive_the_structural():
    structural = Wiring(
        frozenset({"embed", "head.0.0", "unit.0.1", "unit.0.2", "logits"}),
        frozenset({("embed", "head.0.0.k"), ("embed", "unit.0.1"), ("unit.0.1", "logits"), ("head.0.0", "logits")}),
    )
    causal = Wiring(structural.nodes - {"unit.0.2"}, structural.unit_edges)
    truth = Truth(structural, {}, frozenset(), frozenset())
    claims = Claims({"head.0.0": -2.0, "head.0.1": 0.0, "unit.0.1": 1.0, "unit.0.2": 3.0, "unit.0.3": 0.1}, {}, 0.5)
    (fine,) = levels(claims, truth, causal, Components(1, 2, 2, False), sees_queries=True)
    assert fine.figures(claims.bound) == {"precision": 1.0, "recall": 1.0, "auroc": 1.0}
    assert fine.found(None) == ["unit.0.2", "head.0.0"]
    assert in_sight(causal) == {"logits", "head.0.0", "unit.0.1", "embed"}
    dealt = fine.dealt(np.random.default_rng(0), cells=True)
    assert sorted(dealt.scores[name] for name in ("head.0.0", "head.0.1")) == [0.0, 2.0]
    assert sorted(dealt.scores[f"unit.0.{i}"] for i in (1, 2, 3)) == [0.1, 1.0, 3.0]


def test_wrong_names_and_numbers_are_refused(tmp_path):
    with pytest.raises(UnknownName, match="eap-ig"):
        finder("eap-gi")
    with pytest.raises(UnknownName, match="reverse"):
        SuiteConfig(networks=("revers",))
    with pytest.raises(WrongUse, match="0 seeds"):
        SuiteConfig(seeds=0)
    with pytest.raises(UnknownName):
        score(tmp_path, CONFIG, ["nobody"])
    assert not list(tmp_path.iterdir())
    assert set(FINDERS) <= set(all_finders())
