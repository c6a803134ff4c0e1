"""A question about a prompt: both prompts frozen, the target, and what clean values are compared with."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from microtome.circuit.baseline import Baseline, baseline
from microtome.circuit.basis import Basis, Cut
from microtome.circuit.cutting import cut
from microtome.circuit.target import Target
from microtome.core.counting import counted
from microtome.core.errors import WrongUse
from microtome.model.frozen import freeze
from microtome.model.model import Model
from microtome.model.tokens import token_text


@dataclass(frozen=True)
class Question:
    """One prompt opened for attribution.

    Attributes:
        model: the model, in float32 or more.
        inputs, other_inputs: the prompt and its counterfactual (None without one).
        clean, other: both, frozen and cut into units.
        target: what is to be explained.
        baseline: what clean values are compared with.
    """

    model: Model
    inputs: Any
    other_inputs: Any
    clean: Cut
    other: Cut | None
    target: Target
    baseline: Baseline


def ask(model: Model, prompt: Any, counterfactual: Any, target: Target, basis: Basis) -> Question:
    """Freezes both prompts, once they are known to be comparable, and cuts them into the units of a basis.

    Raises:
        WrongUse: the prompts cannot be compared, or the one prompt is what every text begins with.
    """
    clean = freeze(model, prompt)
    other = None
    if counterfactual is not None:
        same_length(model, prompt, counterfactual)
        other = freeze(model, counterfactual)
    here, there = cut(basis, clean, other)
    here = replace(here, asked=target.looked_at(len(clean.layers)))
    target.read(here)  # refuses a target that nothing on this prompt made
    other_values = baseline(model, here, there)
    if torch.allclose(other_values.embed, clean.embed):
        shown = ", ".join(repr(token_text(model, one)) for one in clean.ids)
        raise WrongUse(
            "trace",
            found=f"a prompt of {counted(len(clean.ids), 'token')}, {shown}, which says no more than its baseline",
            do="give a prompt that goes on after the token that every text begins with",
        )
    return Question(model, prompt, counterfactual, here, there, target, other_values)


def same_length(model: Model, prompt: Any, counterfactual: Any) -> None:
    """Raises WrongUse, with both tokenisations, where two prompts cannot be compared position by position."""
    rows = [model.batch(one).tokens[0] for one in (prompt, counterfactual)]
    if rows[0] == rows[1]:
        raise WrongUse("trace", found="a counterfactual with the same tokens as the prompt", do="change one fact in it")
    if len(rows[0]) != len(rows[1]):
        shown = [str([token_text(model, one) for one in ids]) for ids in rows]
        raise WrongUse(
            "trace against a counterfactual of the same length",
            found=f"{len(rows[0])} tokens {shown[0]} and {len(rows[1])} tokens {shown[1]}",
            do="choose a counterfactual that the tokenizer cuts into as many tokens",
        )
