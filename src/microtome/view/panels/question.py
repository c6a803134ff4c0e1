"""The head of the page: what was asked, what the model answered, and whether the answer is proved."""

from pathlib import Path
from typing import Any

from microtome.view.fields import Fields
from microtome.view.panel import PANELS, Data, Panel
from microtome.view.tokens import plain, visible
from microtome.view.verdict import compare, stated_size

LEVELS = {"prompt": "on this prompt", "task": "on the task"}
UNTESTED = (
    "Not tested. No intervention was run on this graph: what it shows is a hypothesis about the model, not a finding."
)


def question_panel(graph: Data, proof: Data | None = None) -> Data:
    """The prompt and its counterfactual as tokens (or the task), the target and its value, and the verdict in words."""
    fields = Fields(graph, "graph")
    tokens, other = fields.texts("tokens"), _counterfactual_tokens(fields)
    position = fields.whole("target_position")
    if tokens and not -len(tokens) <= position < len(tokens):
        fields.refuse("target_position", f"{position}, but there are {len(tokens)} tokens")
    return {
        "task": None if tokens else plain(fields.text("prompt")),
        "prompt": _chips(tokens, other),
        "counterfactual": None if other is None else _chips(other, tokens),
        "target": [visible(token) for token in fields.texts("target")],
        "against": [visible(token) for token in fields.texts("against")],
        "target_position": position % len(tokens) if tokens else None,
        "value": fields.number("value"),
        "counterfactual_value": fields.maybe(Fields.number, "counterfactual_value"),
        "answers": _answers(fields),
        "verdict": {"tested": False, "holds": False, "needed": False, "words": UNTESTED, "level": "", "nulls": []}
        if proof is None
        else _verdict(Fields(proof, "proof")),
    }


def _counterfactual_tokens(fields: Fields) -> list[str] | None:
    if fields.row.get("counterfactual_tokens") is None:
        return None
    tokens = fields.texts("counterfactual_tokens")
    if len(tokens) != len(fields.texts("tokens")):
        fields.refuse("counterfactual_tokens", f"{len(tokens)} tokens beside {len(fields.texts('tokens'))}")
    return tokens


def _answers(fields: Fields) -> Data | None:
    """What the model itself answers on each prompt; None of a graph that does not say."""
    data = fields.part("card").row.get("data") or {}
    if not data.get("answers"):
        return None
    found = Fields(data["answers"], "graph.card.data.answers")
    sides = {"on the prompt": found.part("clean")}
    if found.row.get("counterfactual") is not None:
        sides["on the counterfactual"] = found.part("counterfactual")
    return {
        "warning": None if found.row.get("warning") is None else plain(found.text("warning")),
        "sides": [{"where": where, **_side(side)} for where, side in sides.items()],
    }


def _side(side: Fields) -> Data:
    """The best tokens and those that were named, with probability and rank."""
    best = [(visible(str(token)), float(p), rank) for rank, (token, p) in enumerate(side.items("top"), start=1)]
    named = [(visible(str(token)), float(p), int(rank)) for token, p, rank in side.items("named")]
    return {"top": best, "named": named}


def _chips(tokens: list[str], other: list[str] | None) -> list[dict[str, Any]]:
    beside = tokens if other is None else other
    return [{"text": visible(one), "differs": one != two} for one, two in zip(tokens, beside, strict=True)]


def _verdict(proof: Fields) -> Data:
    verdict = proof.part("verdict")
    at = stated_size(proof)
    nulls = compare(proof.parts("faithfulness")[at], proof.items("sizes")[at])
    return {
        "tested": True,
        "holds": verdict.flag("holds"),
        "needed": verdict.flag("needed"),
        "words": plain(verdict.text("words")),
        "level": LEVELS.get(verdict.text("level"), plain(verdict.text("level"))),
        "nulls": [null.to_dict() for null in nulls],
    }


PANELS.add(
    "question",
    Panel("What was asked", 10, ("graph", "proof"), question_panel, Path(__file__).with_suffix(".js")),
    summary="the prompt, the target and the verdict",
    home=__name__,
)
