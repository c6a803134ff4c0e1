"""What the model itself answers: its best tokens, and where the target and its rival stand among them."""

from typing import Any

import torch

from microtome.circuit.question import Question
from microtome.circuit.target import TokenTarget
from microtome.model.frozen import Frozen
from microtome.model.lens import read_out
from microtome.model.model import Model
from microtome.model.tokens import token_text

TOP = 5


def answers(question: Question) -> dict[str, Any]:
    """The model's own answers on both prompts where the target is read, and a warning where it explains another.

    Returns:
        `clean` and `counterfactual` (or None): the best tokens as `[text, probability]`, and `named`: the target's
        tokens and those against it as `[text, probability, rank]`. `warning`: words, or None where the target is first.
    """
    target = question.target
    named = [*target.ids, *target.against_ids] if isinstance(target, TokenTarget) else []
    position = target.position % question.clean.frozen.n_positions
    clean = _answers(question.model, question.clean.frozen, position, named)
    other = None
    if question.other is not None:
        other = _answers(question.model, question.other.frozen, position, named)
    warning = _warning(target, clean) if isinstance(target, TokenTarget) else None
    return {"clean": clean, "counterfactual": other, "warning": warning}


def _answers(model: Model, frozen: Frozen, position: int, named: list[int]) -> dict[str, Any]:
    logits = read_out(model, frozen.final[position])
    probabilities = logits.float().softmax(0)
    best = probabilities.topk(min(TOP, len(probabilities)))
    return {
        "top": [[token_text(model, i), p] for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)],
        "named": [[token_text(model, i), float(probabilities[i]), _rank(logits, i)] for i in named],
    }


def _rank(logits: torch.Tensor, token: int) -> int:
    return 1 + int((logits > logits[token]).sum())


def _warning(target: TokenTarget, clean: dict[str, Any]) -> str | None:
    """Says that the model would answer something else, and what, if a space alone makes the difference."""
    text, probability, rank = min(clean["named"][: len(target.ids)], key=lambda one: one[2])
    if rank == 1:
        return None
    first, chance = clean["top"][0]
    words = (
        f"the model does not answer {text!r} here: it is number {rank:,} at {probability:.1%}, "
        f"and {first!r} comes first at {chance:.1%}"
    )
    twin = text[1:] if text.startswith(" ") else f" {text}"
    known = dict(clean["top"])
    if twin in known:
        words += f"; {twin!r}, which differs by a space, has {known[twin]:.1%}"
    return words
