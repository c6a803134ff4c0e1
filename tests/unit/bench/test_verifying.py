"""A ledger measured again: the same figures come out, others show, and a hostile folder gets nothing to run."""

import json
import shutil
from pathlib import Path

import pytest

from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import measure
from microtome.bench.recorded import Here
from microtome.bench.remaking import CALLS
from microtome.bench.verifying import verify
from microtome.circuit.proving import prove
from microtome.circuit.site_target import target
from microtome.circuit.trace import trace
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import FormatError, UnknownName, WrongUse
from microtome.data.task import task
from microtome.dictionary.exchange import load_dictionary
from microtome.evidence import Ledger
from microtome.model.opening import open as open_model

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]
NAME = "faithfulness at 20 units"


@pytest.fixture(scope="module")
def model(tiny):
    return tiny("llama")


@pytest.fixture(scope="module")
def proven(model, tmp_path_factory):
    """A ledger with a statement, a trace and a proof."""
    ledger = Ledger(tmp_path_factory.mktemp("recorded") / "ledger")
    page = ledger.state("keeps", "Twenty units keep half.", measurement=NAME, at_least=0.5)
    graph = trace(model, CLEAN, OTHER, 4, 5, max_nodes=40, ledger=page)
    prove(model, graph, (5, 20), 19, config=ProofConfig(floor=0.0), ledger=page)
    return ledger


@pytest.fixture(scope="module")
def proof_alone(model, tmp_path_factory):
    """The same without the trace, which is quicker to measure again."""
    ledger = Ledger(tmp_path_factory.mktemp("recorded") / "ledger")
    page = ledger.state("keeps", "Twenty units keep half.", measurement=NAME, at_least=0.5)
    graph = trace(model, CLEAN, OTHER, 4, 5, max_nodes=4)
    prove(model, graph, (5, 20), 19, config=ProofConfig(floor=0.0), ledger=page)
    return ledger


@pytest.fixture
def short(proof_alone, tmp_path):
    return Ledger(shutil.copytree(proof_alone.folder, tmp_path / "ledger"))


@pytest.fixture
def ledger(proven, tmp_path):
    return Ledger(shutil.copytree(proven.folder, tmp_path / "ledger"))


def rewritten(ledger: Ledger, change) -> Path:
    """The last entry as somebody else would write it."""
    path = sorted((ledger.folder / "entries").iterdir())[-1]
    entry = json.loads(path.read_text())
    change(entry)
    path.write_text(json.dumps(entry))
    return ledger.folder


def test_what_was_recorded_comes_out_again(model, ledger):
    (one,) = ledger.standings()
    assert (one.state, one.smallest) == ("supported", 0.05)
    found = verify(ledger.folder, Here(models=[model]))
    rows = [(row.number, row.kind, row.outcome, row.says) for row in found.rows]
    assert rows == [(2, "graph", "same", "4 figures"), (3, "proof", "same", "6 figures")]
    assert found.summary().startswith(f"{ledger.folder}: 2 same\n  entry 2, graph for keeps: same: 4 figures\n")
    assert found.to_dict()["entries"][1]["claim"] == "keeps"


def test_a_target_inside_is_traced_again(model, tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    page = ledger.state("neuron", "It is made below.", measurement="faithfulness at 5 units")
    trace(model, CLEAN, OTHER, target("mlp.neurons.2", 5), ledger=page)
    assert verify(ledger.folder, Here(models=[model])).counted("same") == 1


def test_another_figure_shows_with_the_versions_it_was_made_with(model, short):
    def change(entry):
        entry["measurements"][1]["value"] += 0.01
        entry["measurements"][1]["nulls"][0]["effect"] += 0.01
        entry["measurements"][1]["nulls"][1]["effect"] += 0.01
        entry["made"]["libraries"]["torch"] = "1.0"

    rewritten(short, change)
    (row,) = [one for one in verify(short.folder, Here(models=[model])).rows if one.kind == "proof"]
    assert row.outcome == "differs"
    assert row.says.startswith(f"{NAME} ")
    assert "; made with torch 1.0, here 2" in row.says


def test_a_model_that_is_not_here_is_missing(ledger, tiny):
    for here in (Here(), Here(models=[open_model("tiny")])):
        rows = verify(ledger.folder, here).rows
        assert {row.outcome for row in rows} == {"missing"}
        assert rows[0].says == "the model 'tiny llama' has no short name; open it and give it"


def test_figures_of_a_dictionary_are_measured_again_from_texts_with_a_name(tmp_path):
    """On the model that ships: the store is harvested again, and the dictionary found by its weights."""
    from microtome.activations.harvest import harvest

    ledger, sae = Ledger(tmp_path / "ledger"), load_dictionary("tiny/sae")
    page = ledger.state("sae", "It explains most.", measurement="variance explained", at_least=0.9, items=5)
    store = harvest(open_model("tiny"), "stories", ["resid.2"], tokens=800, out=tmp_path / "store").split(0.4)[1]
    config = MeasureConfig(fitted_on=500, baselines=("random",))
    measure(sae, store, config=config, ledger=page)
    assert verify(ledger.folder, Here(stores=[store])).rows[0].says == "9 figures"
    measure(sae, store, config=config, nulls={"itself": sae}, ledger=page)
    row = verify(ledger.folder, Here(stores=[store])).rows[1]
    assert (row.outcome, row.says) == ("missing", "nulls were given too, and are not in the ledger; measure by hand")


def test_a_ledger_without_a_claim_and_other_arguments_are_refused_before_anything_runs(model, ledger):
    with pytest.raises(WrongUse) as said:
        trace(model, CLEAN, OTHER, 4, 5, ledger=ledger)  # type: ignore[arg-type]
    assert said.value.do == 'state a claim and give its page: ledger=ledger["name"]'
    with pytest.raises(UnknownName, match="no argument of prove is called 'leger'"):
        prove(model, task("ioi", n=1), leger=None)  # type: ignore[call-arg]


def setting(*path, to):
    def change(entry):
        part = entry["made"]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = to

    return change


HOSTILE = {
    "a module": (setting("kind", to="os.system"), "refused", "a run card of the kind 'os.system'"),
    "a method": (setting("kind", to="__class__"), "refused", "a run card of the kind '__class__'"),
    "no kind": (setting("kind", to=["proof"]), "refused", "kind = ['proof']"),
    "no card": (lambda entry: entry.update(made={}), "refused", "kind = None"),
    "a path as model": (setting("model", "name", to="../../etc"), "same", "6 figures"),  # it is found by its weights
    "other weights": (setting("model", "fingerprint", to="../../etc"), "missing", "the model 'tiny llama'"),
    "a path as basis": (setting("config", "basis", to="/etc/passwd"), "refused", "weights = None"),
    "a path among bases": (setting("config", "basis", to="neurons + ./evil"), "refused", "weights = None"),
    "a number of 400 digits": (setting("config", "draws", to=10**400), "refused", "draws = a number of 1,329 bits"),
    "draws without end": (setting("config", "draws", to=10**9), "refused", "draws = 1000000000"),
    "sizes that are words": (setting("config", "sizes", to=["5; rm -rf ~"]), "refused", "sizes = '5; rm -rf ~'"),
    "true for a number": (setting("seed", to=True), "refused", "seed = True"),
    "another setting": (setting("config", "__init__", to="evil"), "refused", "'__init__'"),
    "a setting left out": (lambda entry: entry["made"]["config"].pop("level"), "refused", "no level"),
    "a rule that is none": (setting("data", "graph", "rule", to="os.system"), "refused", "'os.system'"),
    "a negative ranking": (setting("data", "graph", "ranked", to=-5), "refused", "ranked=-5"),
    "token ids beyond": (setting("data", "ids", to=[10**6]), "refused", ""),
    "ids that are none": (setting("data", "ids", to={"a": 1}), "refused", "ids = {'a': 1}"),
    "a target of another kind": (setting("data", "target", "kind", to="eval"), "missing", "the target 'None'"),
    "a task by path": (
        lambda entry: (entry["made"]["data"].pop("graph"), entry["made"]["data"].update(task="../../rows.jsonl")),
        "missing", "the task '../../rows.jsonl' is none that is generated here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_folder_is_refused_and_nothing_of_it_runs(model, short, how):
    change, outcome, found = HOSTILE[how]
    rewritten(short, change)
    row = verify(short.folder, Here(models=[model])).rows[-1]
    assert (row.outcome, found in row.says) == (outcome, True), row.says


@pytest.mark.parametrize(
    ("changes", "outcome", "found"),
    [
        ({"texts": {"name": "/etc/passwd"}}, "missing", "the texts '/etc/passwd', which have no name here"),
        ({"texts": {"name": "stories"}}, "missing", "the texts 'stories', which have no name here"),
        ({"texts": None}, "refused", "texts = None"),
    ],
)
def test_texts_are_never_read_from_a_path(short, changes, outcome, found):
    card = {"fingerprint": "0" * 16, "model": {}, "config": {}, "tokens": 9, "mean_squared_norms": {}}
    sae = load_dictionary("tiny/sae")

    def change(entry):
        data = {"dictionary": {"weights": "given"}, "store": card | changes, "beside": []}
        entry["made"] = {"kind": "measures", "config": {}, "data": data}

    rewritten(short, change)
    row = verify(short.folder, Here(dictionaries=[sae])).rows[-1]
    assert "weights 'given'" in row.says  # no such dictionary, and nothing further is read
    rewritten(short, lambda entry: entry["made"]["data"]["dictionary"].update(weights=_weights(sae)))
    row = verify(short.folder, Here(dictionaries=[sae])).rows[-1]
    assert (row.outcome, found in row.says) == (outcome, True), row.says


def _weights(dictionary) -> str:
    from microtome.core.fingerprint import of_module

    return of_module(dictionary)


def test_only_calls_of_this_package_can_be_made_again():
    assert CALLS.keys() == {"graph", "proof", "measures"}


def test_a_folder_that_was_changed_is_not_measured_at_all(model, short):
    rewritten(short, lambda entry: entry.update(number=9))
    with pytest.raises(FormatError, match="entry 9, where entry 2 belongs"):
        verify(short.folder, Here(models=[model]))
