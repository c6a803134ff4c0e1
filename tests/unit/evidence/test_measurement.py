"""Measurements: none without a null, the hardest null in front, and JSON that any reader takes."""

import json
import math

import pytest

from microtome.core.errors import FormatError, WrongUse
from microtome.evidence import Finding, Measurement, Null, Quantity

MATCHED = Null.against("matched sets", 0.81, [0.1] * 19 + [0.3])
CHANGE = Null.against("change", 0.81, [0.32] * 20)


def measurement(nulls=(MATCHED, CHANGE), **changed):
    fields = {
        "name": "faithfulness at 1,000 units",
        "value": 0.81,
        "interval": (0.74, 0.87),
        "level": 0.95,
        "nulls": nulls,
        "n": 40,
        "seed": 0,
        "measured_in": "share of the logit difference",
    }
    return Measurement(**(fields | changed))


def test_the_hardest_null_has_the_smallest_advantage():
    assert measurement().null is CHANGE
    assert measurement((CHANGE, MATCHED)).null is CHANGE


def test_a_null_of_one_draw_is_not_the_hardest_for_its_p_value():
    easy = Null.against("change", 0.81, [0.0], effect_interval=(0.7, 0.9))
    hard = Null.against("matched sets", 0.81, [0.77] * 20, effect_interval=(-0.1, 0.2))
    assert easy.p_value > hard.p_value
    assert measurement((easy, hard)).null is hard


def test_of_two_intervals_the_one_that_reaches_lower_is_the_harder():
    wide = Null.against("wide", 0.81, [0.2], effect_interval=(-0.3, 1.4))
    narrow = Null.against("narrow", 0.81, [0.4], effect_interval=(0.4, 0.42))
    assert measurement((narrow, wide)).null is wide
    assert measurement((narrow, wide, CHANGE)).null is narrow  # not all have one


def test_where_lower_is_better_the_hardest_null_is_the_lowest():
    # By the signed effect the other one would be chosen: −0.7 is smaller than −0.1.
    easy, hard = (Null.against(name, 0.2, [x], higher_is_better=False) for name, x in [("easy", 0.9), ("hard", 0.3)])
    assert measurement((easy, hard), value=0.2, interval=None).null is hard


@pytest.mark.parametrize(
    ("draws", "interval", "level", "beaten"),
    [
        ([0.1] * 20, (0.1, 0.4), 0.99, True),
        ([0.1] * 20, (-0.1, 0.4), 0.5, False),
        ([0.1] * 20, (0.0, 0.4), 0.5, False),
        ([0.1] * 20, None, 0.95, True),  # p = 0.048
        ([0.1] * 20, None, 0.99, False),
        ([0.1] * 19, None, 0.95, True),  # p = 0.05, the smallest there is
        ([0.1] * 9, None, 0.9, True),  # p = 0.1, and 1 − 0.9 is less than that by rounding
        ([0.1] * 9, None, 0.95, False),
        ([0.1], None, 0.95, True),
        ([0.9], None, 0.95, False),
        ([0.81], None, 0.95, False),
    ],
)
def test_a_null_is_beaten_by_its_interval_or_its_rank_at_the_level_or_as_one_draw(draws, interval, level, beaten):
    null = Null.against("sets", 0.81, draws, effect_interval=interval)
    assert measurement((null,), level=level).beats(null) is beaten
    turned = None if interval is None else (-interval[1], -interval[0])
    low = Null.against("sets", -0.81, [-one for one in draws], higher_is_better=False, effect_interval=turned)
    assert measurement((low,), value=-0.81, interval=None, level=level).beats(low) is beaten


def test_it_reads_as_one_line():
    assert str(measurement()) == (
        "faithfulness at 1,000 units 0.81 [0.74, 0.87] (95%, n=40); hardest null: change 0.32, advantage 0.49, p=0.048"
    )


def test_one_prompt_and_one_draw_are_said_aloud():
    null = Null.against("change", 1234.5, [0.00012], effect_interval=(1000.0, 1500.0))
    line = str(measurement((null,), value=1234.5, interval=None, n=1))
    assert line == (
        "faithfulness at 1,000 units 1,234 (no interval, n=1); "
        "hardest null: change 0.00012, advantage 1,234 [1,000, 1,500], p=0.5 (one draw)"
    )


@pytest.mark.parametrize("seed", [0, None])
def test_json_gives_back_the_same(seed):
    null = Null.against("sets", 0.81, [0.1, 1 / 3], effect_interval=(0.4, 0.6))
    whole = measurement((null, CHANGE), seed=seed)
    assert Measurement.from_dict(json.loads(json.dumps(whole.to_dict(), allow_nan=False))) == whole


def test_what_is_not_finite_is_null_in_json_and_nan_when_read():
    undefined = measurement(value=math.nan, interval=(-math.inf, 1.0)).to_dict()
    assert undefined["value"] is None
    assert undefined["interval"] == [None, 1.0]
    json.dumps(undefined, allow_nan=False)
    again = Measurement.from_dict(undefined)
    assert math.isnan(again.value)
    assert again.to_dict() == undefined


@pytest.mark.parametrize(
    ("changed", "found", "do"),
    [
        (
            {"nulls": ()},
            "evidence without a null",
            "give at least one Null, or make it a Quantity: no evidence",
        ),
        (
            {"value": 0.7},
            "a value of 0.7, and a null 'matched sets' set against 0.81",
            "set every null against this value, with Null.against",
        ),
        (
            {"nulls": (CHANGE, Null.against("low", 0.81, [0.9], higher_is_better=False))},
            "nulls that disagree on which direction is better",
            "make them agree",
        ),
        ({"level": 95.0}, "level 95 and n=40", "give 0 < level < 1 and n ≥ 1"),
        ({"n": 0}, "level 0.95 and n=0", "give 0 < level < 1 and n ≥ 1"),
        ({"interval": (0.9, 0.7)}, "the interval [0.90, 0.70]", "give (low, high)"),
    ],
    ids=["no-null", "anothers-null", "directions", "percent", "no-items", "turned"],
)
def test_what_is_no_evidence_is_refused(changed, found, do):
    with pytest.raises(WrongUse) as error:
        measurement(**changed)
    assert str(error.value) == f"measure 'faithfulness at 1,000 units'\n  found: {found}\n  do:    {do}"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"n": 40.0}, "40.0 where a whole number belongs"),
        ({"nulls": []}, "evidence without a null"),
        ({"value": "0.81"}, "'0.81' where a number belongs"),
        ({"p": 0.1}, "missing fields [], unknown fields ['p']"),
    ],
)
def test_a_damaged_file_is_refused_by_field(change, found):
    with pytest.raises(FormatError) as error:
        Measurement.from_dict(measurement().to_dict() | change)
    assert str(error.value) == (
        f"read a Measurement from JSON\n  found: {found}\n"
        "  do:    give what `to_dict` wrote, or make the artefact again"
    )


def test_a_missing_field_is_named():
    damaged = measurement().to_dict()
    del damaged["nulls"]
    with pytest.raises(FormatError, match=r"missing fields \['nulls'\], unknown fields \[\]"):
        Measurement.from_dict(damaged)


# Quantities and findings


@pytest.mark.parametrize(
    ("quantity", "line"),
    [
        (Quantity("units that differ", 41_472, "units"), "units that differ 41,472 units"),
        (Quantity("share", 0.25, "", "of all units"), "share 0.25 (of all units)"),
        (Quantity("loss", math.inf, "nats"), "loss inf nats"),
    ],
)
def test_a_quantity_reads_as_one_line_and_comes_back(quantity, line):
    assert str(quantity) == line
    written = json.loads(json.dumps(quantity.to_dict(), allow_nan=False))
    assert Quantity.from_dict(written).to_dict() == quantity.to_dict()


def test_a_count_stays_a_count():
    assert isinstance(Quantity.from_dict(Quantity("units", 3, "units").to_dict()).value, int)


def test_a_finding_shows_its_support_and_comes_back():
    finding = Finding("1,000 units answer the prompt", (measurement(),), "proven on the task")
    assert str(finding) == f"1,000 units answer the prompt: proven on the task\n  {measurement()}"
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding


def test_a_claim_without_a_measurement_is_refused():
    with pytest.raises(WrongUse) as error:
        Finding("it works", (), "proven")
    assert str(error.value) == (
        "find that 'it works'\n  found: a claim without a measurement\n"
        "  do:    give the measurements that the claim rests on"
    )
