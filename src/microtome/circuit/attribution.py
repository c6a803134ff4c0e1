"""Rules that say how much each unit contributes to a target, by which nodes are chosen.

A score is M(clean) − M(unit at its counterfactual value), to first order: the change times a gradient.
The rules differ in where the gradient is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.circuit.question import Question
from microtome.circuit.target import Target, uncapped
from microtome.core.registry import Registry
from microtome.model import edits


@dataclass(frozen=True)
class Gradients:
    """dM on units, `[p, u]` a layer, on the embedding, `[p, d]`, and on each error, `[p, d]` by layer."""

    units: list[Tensor]
    embed: Float[Tensor, "p d"]
    errors: dict[int, Float[Tensor, "p d"]]


Rule = Callable[[Question], Gradients]
RULES: Registry[Rule] = Registry("rule")
DEFAULT_RULE = "ig"
"""The best of the three by area on one half of the prompts of every task: docs/tasks.md."""


def through_gates(cut: Cut, target: Target) -> Gradients:
    """Gradients of the target through the frozen network, MLPs as their units read and write.

    Matrix products only: one backward sweep over the weights.
    """
    frozen = cut.frozen
    position = target.position % frozen.n_positions
    g = torch.zeros_like(frozen.embed)
    direction = target.direction(frozen.logits(position), frozen.anatomy)
    g[position] = frozen.pull_direction(direction, position)
    units: list[Tensor] = []
    errors: dict[int, Tensor] = {}
    for index, layer in reversed(list(enumerate(cut.layers))):
        of_units = layer.gradients(g)
        units.append(of_units)
        if layer.error is not None:
            errors[index] = g
        through_mlp = layer.pull(of_units)
        if layer.skip is not None:
            through_mlp = through_mlp + layer.skip.pull(g[None])[0]
        below = g if layer.frozen.layer.parallel else g + through_mlp
        through_attention = layer.frozen.pull_attention(below[None])[0]
        g = g + through_mlp + through_attention
    return Gradients(units[::-1], g, errors)


@RULES.register("half", summary="frozen network, half rule, at the clean prompt")
def half(question: Question) -> Gradients:
    """The gradient of the frozen network at the clean prompt."""
    return through_gates(question.clean, question.target)


@RULES.register("mean", summary="mean of the half rule at the clean and the counterfactual prompt")
def mean(question: Question) -> Gradients:
    """Its mean over both prompts: a trapezoid with two points; without a counterfactual, `half`."""
    clean = through_gates(question.clean, question.target)
    if question.other is None:
        return clean
    other = through_gates(question.other, question.target)
    units = [(a + b) / 2 for a, b in zip(clean.units, other.units, strict=True)]
    errors = {i: (g + other.errors[i]) / 2 for i, g in clean.errors.items()}
    return Gradients(units, (clean.embed + other.embed) / 2, errors)


@RULES.register("ig", summary="integrated gradients over the embeddings, midpoint rule, 5 steps")
def integrated(question: Question, steps: int = 5) -> Gradients:
    """The live network's gradient, averaged over embeddings between the two prompts.

    Hanna et al. 2024 (arXiv 2403.17806), EAP-IG on inputs, with the midpoint rule, whose error is
    quadratic in the step. Without a counterfactual the path starts at the mean of the neutral prompts.
    """
    model, clean, layers = question.model, question.clean.frozen, question.clean.layers
    start = question.baseline.embed
    at = (torch.arange(steps, device=clean.embed.device) + 0.5) / steps
    path = start + at[:, None, None].to(clean.embed.dtype) * (clean.embed - start)
    target, position = question.target, question.target.position

    def metric(logits: Float[Tensor, "b p v"]) -> Float[Tensor, ""]:
        return target.value(uncapped(logits[:, 0 if position == -1 else position], model.anatomy)).sum()

    run = model.run(
        [clean.ids] * steps,
        capture=["embed", *(layer.writes for layer in layers)],
        backward=metric,
        edits=[edits.set("embed", path)],
        last_logits_only=position == -1,
    )
    found = [run.grad[layer.writes].mean(0) for layer in layers]
    units = [layer.live_gradients(g) for layer, g in zip(layers, found, strict=True)]
    errors = {i: found[i] for i, layer in enumerate(layers) if layer.error is not None}
    return Gradients(units, run.grad["embed"].mean(0), errors)


@dataclass(frozen=True)
class Scores:
    """How much the target falls when something takes its baseline value, to first order.

    Attributes:
        units: `[l, p, u]`.
        embed: of token embeddings.
        errors: of errors, by layer.
    """

    units: Float[Tensor, "l p u"]
    embed: Float[Tensor, "p"]
    errors: dict[int, Float[Tensor, "p"]]


def scored(question: Question, gradients: Gradients) -> Scores:
    """Attributions of units, token embeddings and errors: how far they are from their baseline, times the gradient."""
    clean, base = question.clean, question.baseline
    units = clean.values - base.units
    return Scores(
        units * side_by_side(gradients.units),
        ((clean.frozen.embed - base.embed) * gradients.embed).sum(-1),
        {i: ((error - base.errors[i]) * gradients.errors[i]).sum(-1) for i, error in clean.errors.items()},
    )
