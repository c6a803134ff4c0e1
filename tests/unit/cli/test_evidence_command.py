"""`microtome evidence`: claims as a table and as JSON, and a verification that leaves with what it found."""

import json

import pytest

from microtome.evidence import Ledger, Measurement, Null

NAME = "faithfulness at 30 units"


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(tmp_path / "ledger")
    made.state("dog", "It keeps most.", measurement=NAME, at_least=0.5)
    return made


def record(ledger, made):
    null = Null.against("random sets", 0.8, [0.1] * 59)
    ledger["dog"].record((Measurement(NAME, 0.8, None, 0.95, (null,), 1, 0, "share"),), (), made)


def test_claims_are_shown_in_words_and_as_json(invoke, ledger):
    words = invoke("evidence", "show", str(ledger.folder))
    assert (words.code, words.out) == (0, ledger.summary() + "\n")
    assert "dog  open            It keeps most." in words.out
    document = invoke("evidence", "show", str(ledger.folder), "--json")
    assert json.loads(document.out) == ledger.to_dict()


def test_a_folder_without_a_ledger_is_not_made_one(invoke, tmp_path):
    done = invoke("evidence", "show", str(tmp_path / "nowhere"))
    assert (done.code, "no ledger.json there" in done.err) == (3, True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("card", "code", "counts", "said"),
    [
        (None, 0, "nothing was measured", ""),
        ({"kind": "eval"}, 4, "1 refused", "1 of 1 entries that do not come out"),
        (
            {"kind": "graph", "model": {"name": "./evil", "fingerprint": "0"}, "config": {}, "data": {}},
            3, "1 missing", "1 of 1 entries that cannot be run here",
        ),
    ],
)  # fmt: skip
def test_the_exit_code_says_how_a_verification_went(invoke, ledger, card, code, counts, said):
    if card is not None:
        record(ledger, card)
    words = invoke("evidence", "verify", str(ledger.folder))
    assert words.code == code
    assert words.out.startswith(f"{ledger.folder}: {counts}\n")
    assert said in words.err
    document = invoke("evidence", "verify", str(ledger.folder), "--json")
    assert len(json.loads(document.out)["entries"]) == (card is not None)
