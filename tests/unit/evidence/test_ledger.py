"""The ledger: stated before it is measured, never rewritten, and told what its numbers allow."""

import json

import pytest

from microtome.core import fingerprint
from microtome.core.errors import FormatError, MissingFile, UnknownName, WrongUse
from microtome.evidence import Ledger, Measurement, Null, Quantity
from microtome.evidence.claim import Statement
from microtome.evidence.standing import beside_each_other, standing

NAME = "faithfulness at 30 units"


def measured(value=0.8, interval=None, draws=(0.1,) * 59, n=1, advantage=None, higher=True):
    null = Null.against("random sets", value, draws, higher, effect_interval=advantage)
    return Measurement(NAME, value, interval, 0.95, (null,), n, 0, "share")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger")


def state(ledger, name="dog", **changed):
    return ledger.state(name, **({"says": "It keeps most.", "measurement": NAME, "at_least": 0.5} | changed))


def record(page, *measurements):
    page.record(measurements, (), {"kind": "proof"})


def states(ledger):
    return {one.name: (one.state, one.why) for one in ledger.standings()}


@pytest.mark.parametrize(
    ("bounds", "found", "state", "why"),
    [
        ({"at_least": 0.5}, measured(0.8), "supported", "0.80 keeps to the bound; beats random sets"),
        ({"at_least": 0.5}, measured(0.4), "contradicted", "0.40 lies below the bound"),
        ({"at_most": 0.5}, measured(0.8), "contradicted", "0.80 lies above the bound"),
        ({"at_most": 0.5}, measured(0.2, draws=(0.3,) * 59), "supported", "0.20 keeps to the bound"),
        (
            {"at_least": 0.5}, measured(0.6, (0.4, 0.8), n=20, advantage=(0.3, 0.7)), "cannot be told",
            "the interval [0.40, 0.80] crosses the bound",
        ),
        ({"at_least": 0.5, "items": 20}, measured(0.8), "cannot be told", "1 item, and at least 20 are needed"),
        (
            {}, measured(0.8, draws=(0.1,) * 10), "cannot be told",
            "10 draws of random sets allow no p below 0.091",
        ),
        ({}, measured(0.8), "supported", "beats random sets"),
        ({}, measured(0.3, draws=(0.2, 0.4) * 30), "cannot be told", "does not beat random sets (p=0.51)"),
        ({}, measured(0.1, draws=(0.2,) * 59), "contradicted", "does worse than random sets (p=0.017)"),
        ({}, measured(0.1, draws=(0.2,)), "contradicted", "does no better than random sets"),
        (
            {}, measured(0.3, (0.2, 0.4), n=20, advantage=(-0.1, 0.2)), "cannot be told",
            "the interval of its advantage over random sets, [-0.10, 0.20], crosses zero",
        ),
        (
            {}, measured(0.1, (0.0, 0.2), n=20, advantage=(-0.2, -0.1)), "contradicted",
            "does worse than random sets (advantage [-0.20, -0.10])",
        ),
        ({"at_most": 0.5}, measured(0.2, draws=(0.9,) * 59, higher=False), "supported",
         "0.20 keeps to the bound; beats random sets"),
        ({"at_least": 0.1, "at_most": 0.5}, measured(0.2), "supported", "0.20 keeps to the bound; beats random sets"),
    ],
)  # fmt: skip
def test_a_measurement_decides_a_claim_or_says_why_it_cannot(bounds, found, state, why):
    assert Statement("It does.", NAME, **bounds).tested_by(found) == (state, why)


def test_an_open_claim_is_stated_and_not_measured(ledger):
    state(ledger)
    assert states(ledger) == {"dog": ("open", "not measured yet")}


def test_what_is_written_is_read_by_another(ledger):
    page = state(ledger)
    page.record((measured(),), (Quantity("nodes", 3, "nodes"),), {"kind": "proof", "seed": 0})
    again = Ledger.load(ledger.folder)
    assert again.standings() == ledger.standings()
    stated, found = again.entries()
    assert (stated.stated, stated.measurements) == (page.statement, ())
    assert found.measurements == (measured(),)
    assert found.quantities == (Quantity("nodes", 3, "nodes"),)
    assert found.made == {"kind": "proof", "seed": 0}
    assert (found.statement, found.before) == (page.statement.digest, stated.digest)
    assert stated.at <= found.at


def test_a_claim_may_be_reworded_until_it_is_measured(ledger):
    before = state(ledger)
    after = state(ledger, at_least=0.6)
    assert ledger["dog"].statement.at_least == 0.6
    with pytest.raises(WrongUse) as said:
        record(before, measured())
    assert said.value.found == "another statement than when it began"
    record(after, measured())
    with pytest.raises(WrongUse) as said:
        state(ledger, at_least=0.1)
    assert str(said.value) == (
        "state the claim 'dog'\n  found: a claim that was measured: what it says is settled\n"
        "  do:    state a new claim, under another name"
    )


def test_what_was_not_predicted_is_no_evidence(ledger):
    page = state(ledger, measurement="faithfulness at 40 units")
    with pytest.raises(WrongUse) as said:
        record(page, measured())
    assert said.value.found == "'faithfulness at 40 units'; the closest are 'faithfulness at 30 units'"
    assert len(ledger.entries()) == 1


def test_a_claim_that_was_not_stated_has_no_page(ledger):
    state(ledger)
    with pytest.raises(UnknownName, match="no claim in the ledger is called 'dig'"):
        ledger["dig"]


def test_measurements_that_decide_must_agree(ledger):
    page = state(ledger)
    record(page, measured(0.8))
    record(page, measured(0.8, draws=(0.1,) * 9))
    (one,) = ledger.standings()
    assert (one.state, one.why) == ("supported", "0.80 keeps to the bound; beats random sets (1 of 2 measurements)")
    assert one.p == pytest.approx(2 / 60)  # the smaller of two
    record(page, measured(0.4))
    assert states(ledger)["dog"] == ("cannot be told", "its 3 measurements disagree")


def test_claims_are_judged_beside_each_other():
    """By hand: p of 0.03 and 0.5 over two claims are 0.06 and 0.5; alone the first would stand."""
    weak, null = measured(0.8, draws=(0.9,) * 2 + (0.1,) * 97), measured(0.5, draws=(0.4,) * 49 + (0.6,) * 50)
    statement = Statement("It does.", NAME)
    alone = [standing("a", statement, [weak]), standing("b", statement, [null])]
    assert [one.state for one in alone] == ["supported", "cannot be told"]
    told = beside_each_other(alone, 0.05)
    assert [one.adjusted for one in told] == pytest.approx([0.06, 0.51])
    assert (told[0].state, told[0].why) == ("cannot be told", "p=0.03 becomes 0.06 beside 2 claims, above 0.05")
    assert beside_each_other(alone, 0.1)[0].state == "supported"


def test_the_smallest_p_value_stands_beside_the_number_of_claims(ledger):
    for name in ("a", "b", "c"):
        page = state(ledger, name)
        record(page, measured(draws=(0.1,) * 20))
    text = ledger.summary()
    assert "3 claims, false discoveries held to 0.05" in text
    assert "p 0.048, adjusted 0.048, smallest possible 0.048" in text
    assert text.endswith(
        "the smallest possible p-value is 0.048: one claim alone among 3 could not stand "
        "(measure with draws=59 or more)"
    )
    assert json.loads(json.dumps(ledger.to_dict(), allow_nan=False))["claims"][0]["smallest"] == pytest.approx(1 / 21)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"name": "../dog"}, "other letters"),
        ({"at_least": 0.6, "at_most": 0.5}, "at_least=0.6 and at_most=0.5"),
        ({"at_least": float("nan")}, "at_least=nan and at_most=None"),
        ({"items": 0}, f"says='It keeps most.', measurement={NAME!r}, items=0"),
        ({"says": " "}, f"says=' ', measurement={NAME!r}, items=1"),
    ],
)
def test_a_claim_that_nothing_could_test_is_refused(ledger, arguments, found):
    with pytest.raises(WrongUse) as said:
        state(ledger, **arguments)
    assert said.value.found == found
    assert ledger.entries() == ()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(WrongUse, match="a file, or a folder that holds something else"):
        Ledger(tmp_path)
    with pytest.raises(MissingFile, match=r"no ledger\.json there"):
        Ledger.load(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_the_rate_is_settled_when_it_is_made(tmp_path):
    assert Ledger(tmp_path / "one", rate=0.1).rate == Ledger(tmp_path / "one").rate == 0.1
    with pytest.raises(WrongUse, match=r"rate=0\.2, and 0\.1 when it was made"):
        Ledger(tmp_path / "one", rate=0.2)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def edited(entries):
    change(entries[0], statement=json.loads(entries[0].read_text())["statement"] | {"at_least": 0.1})


def restated(entries):
    """By somebody who makes the digests of all later entries again, too."""
    first = json.loads(entries[0].read_text())
    statement = first["statement"] | {"at_least": 0.1}
    change(entries[0], statement=statement)
    change(entries[1], before=fingerprint.of_value(json.loads(entries[0].read_text())))
    change(entries[2], before=fingerprint.of_value(json.loads(entries[1].read_text())))


def late(entries):
    """A claim stated anew after it was measured."""
    path = entries[2].with_name("000004.json")
    path.write_text(entries[0].read_text())
    change(path, number=4, before=fingerprint.of_value(json.loads(entries[2].read_text())))


TAMPERED = {
    "changed": (edited, "an entry that follows"),
    "changed, digests made again": (restated, "a measurement for another statement of the claim 'dog'"),
    "stated after": (late, "the claim 'dog' stated after it was measured"),
    "left out": (lambda entries: entries[1].unlink(), "entry 3, where entry 2 belongs"),
    "another file": (lambda entries: entries[1].with_name("run.sh").write_text("rm -rf ~"), "a strange name"),
    "a link": (lambda entries: (entries[2].unlink(), entries[2].symlink_to("/etc/hostname")), "a strange name, a link"),
    "cut short": (lambda entries: entries[2].write_text(entries[2].read_text()[:-9]), "no readable JSON"),
    "without end": (lambda entries: entries[2].write_text('{"a":' * 100_000), "no readable JSON"),
    "too many digits": (lambda entries: entries[2].write_text('{"number": ' + "9" * 5000 + "}"), "no readable JSON"),
    "another key": (lambda entries: change(entries[2], run="rm -rf ~"), "unknown keys ['run']"),
    "a path as name": (lambda entries: change(entries[2], claim="../../dog"), "a claim called '../../dog'"),
    "another kind": (lambda entries: change(entries[2], made="os.system"), "a str where a dict belongs"),
    "no time": (lambda entries: change(entries[2], at="yesterday"), "Invalid isoformat string: 'yesterday'"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_what_was_changed_afterwards_shows(ledger, how):
    record(state(ledger), measured())
    state(ledger, "cat")
    entries = sorted((ledger.folder / "entries").iterdir())
    tamper, found = TAMPERED[how]
    tamper(entries)
    with pytest.raises(FormatError) as said:
        Ledger.load(ledger.folder).entries()
    assert found in said.value.found
