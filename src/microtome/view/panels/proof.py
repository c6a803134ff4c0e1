"""The proof: how much a circuit of N units keeps and how much is left without it, beside both nulls."""

from pathlib import Path
from typing import Any

import numpy as np

from microtome.view.fields import Fields
from microtome.view.panel import PANELS, Data, Panel
from microtome.view.rows import rows_of
from microtome.view.tokens import plain

BAND = (0.025, 0.975)  # a null is drawn as its mean and the middle 95% of its draws

CURVES = (
    (
        "faithfulness",
        "Faithfulness: only the circuit is left",
        "Everything outside the circuit set to {}. Higher is better.",
    ),
    (
        "completeness",
        "Completeness: the circuit is taken away",
        "The circuit itself set to {}. What is left; lower is better.",
    ),
)

COUNTERFACTUAL = "its values on the counterfactual"
NEUTRAL = "its means over neutral prompts"  # what units are compared with where no counterfactual was given


def proof_panel(proof: Data) -> Data:
    """Both curves over N with intervals and nulls, areas, and what the figures rest on.

    Raises:
        FormatError: the curves do not match the sizes, a null has no draws, a number is not finite.
    """
    fields = Fields(proof, "proof")
    sizes, neutral = _sizes(fields), _is_neutral(fields)
    baseline = NEUTRAL if neutral else COUNTERFACTUAL
    return {
        "sizes": sizes,
        "neutral": neutral,
        "curves": [_curve(fields, sizes, name, title, says.format(baseline)) for name, title, says in CURVES],
        "areas": rows_of(fields.part("areas")),
        "holds": fields.part("verdict").flag("holds"),
        "words": plain(fields.part("verdict").text("words")),
        "level": plain(fields.part("verdict").text("level")),
        "n": fields.whole("n"),
        "n_differing": fields.whole("n_differing"),
        "differing_share": fields.maybe(Fields.number, "differing_share"),
    }


def _is_neutral(fields: Fields) -> bool:
    """Whether the one prompt had no counterfactual; the prompts of a task always have one."""
    data = fields.part("card").part("data").row
    return "counterfactual_ids" in data and data["counterfactual_ids"] is None


def _sizes(fields: Fields) -> list[int]:
    sizes = fields.items("sizes")
    rising = all(isinstance(size, int) and size > 0 for size in sizes) and sizes == sorted(set(sizes))
    if not sizes or not rising:
        fields.refuse("sizes", f"{sizes}, which are no rising numbers of units")
    return sizes


def _curve(fields: Fields, sizes: list[int], name: str, title: str, says: str) -> dict[str, Any]:
    measured = fields.parts(name)
    if len(measured) != len(sizes):
        fields.refuse(name, f"{len(measured)} measurements for {len(sizes)} sizes")
    points = [_point(measurement, size) for measurement, size in zip(measured, sizes, strict=True)]
    nulls: dict[str, list[dict[str, Any]]] = {}
    for measurement, size in zip(measured, sizes, strict=True):
        for null in measurement.parts("nulls"):
            nulls.setdefault(plain(null.text("name")), []).append(_null(null, size))
    listed = [{"name": null, "points": drawn} for null, drawn in nulls.items()]
    return {"name": name, "title": title, "says": says, "points": points, "nulls": listed}


def _point(measurement: Fields, size: int) -> dict[str, Any]:
    low, high = measurement.maybe(Fields.interval, "interval") or (None, None)
    return {
        "size": size,
        "value": measurement.number("value"),
        "low": low,
        "high": high,
        "level": measurement.number("level"),
        "n": measurement.whole("n"),
    }


def _null(null: Fields, size: int) -> dict[str, Any]:
    draws = null.numbers("draws")
    if not draws:
        null.refuse("draws", "none, and a null without draws is no null")
    low, high = np.quantile(draws, BAND)
    return {
        "size": size,
        "mean": float(np.mean(draws)),
        "low": float(low),
        "high": float(high),
        "draws": len(draws),
        "p_value": null.number("p_value"),
        "advantage": null.number("effect") if null.flag("higher_is_better") else -null.number("effect"),
        "advantage_interval": null.maybe(Fields.interval, "advantage_interval"),
    }


PANELS.add(
    "proof",
    Panel("The proof", 30, ("proof",), proof_panel, Path(__file__).with_suffix(".js")),
    summary="faithfulness and completeness over circuit size, with both nulls",
    home=__name__,
)
