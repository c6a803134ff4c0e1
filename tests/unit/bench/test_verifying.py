"""A ledger measured again: the same figures come out, others show, and a hostile folder gets nothing to run."""

import json

import pytest

from microtome.bench import remaking
from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import measure
from microtome.bench.recorded import Here
from microtome.bench.verifying import verify
from microtome.circuit.proving import prove
from microtome.circuit.site_target import target
from microtome.circuit.trace import trace
from microtome.circuit.weighing import ProofConfig
from microtome.core.errors import UnknownName, WrongUse
from microtome.evidence import Ledger

CLEAN, OTHER = [1, 7, 30, 12, 55, 8, 41], [1, 7, 30, 80, 55, 8, 41]


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger")
    made.state("keeps", "Twenty units keep half.", measurement="faithfulness at 20 units", at_least=0.5)
    return made


@pytest.fixture(scope="module")
def model(tiny):
    return tiny("llama")


@pytest.fixture
def proven(model, ledger):
    page = ledger["keeps"]
    graph = trace(model, CLEAN, OTHER, 5, 6, max_nodes=40, ledger=page)
    proof = prove(model, graph, (5, 20), 19, config=ProofConfig(floor=-9.0), ledger=page)
    return graph, proof


@pytest.fixture(autouse=True)
def falls(monkeypatch, model):
    """The random network's answer, the other way round where its target does not fall."""


def test_what_was_recorded_comes_out_again(model, ledger, proven):
    _, proof = proven
    (one,) = ledger.standings()
    assert one.measured == (proof.faithfulness[1],)
    found = verify(ledger.folder, Here(models=[model]))
    assert [(row.kind, row.outcome, row.says) for row in found.rows] == [
        ("graph", "same", "4 figures"),
        ("proof", "same", "6 figures"),
    ]
    assert found.summary().startswith(f"{ledger.folder}: 2 same\n  entry 2, graph for keeps: same: 4 figures")
