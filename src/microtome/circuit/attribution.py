"""Rules that say how much each unit contributes to a target, by which nodes are chosen.

A score is M(clean) − M(unit at its counterfactual value), to first order: the change times a gradient.
The rules differ in where the gradient is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.change import side_by_side
from microtome.circuit.question import Question
from microtome.circuit.target import Target, uncapped
from microtome.core.registry import Registry
from microtome.model import edits
from microtome.model.frozen import Frozen


@dataclass(frozen=True)
class Gradients:
    """dM on the hidden units, `[p, u]` a layer, and on the embedding, `[p, d]`."""

    units: list[Tensor]
    embed: Float[Tensor, "p d"]


Rule = Callable[[Question], Gradients]
RULES: Registry[Rule] = Registry("rule")
DEFAULT_RULE = "ig"
"""The best of the three by area on one half of the prompts of every task: docs/tasks.md."""


def through_gates(frozen: Frozen, target: Target) -> Gradients:
    """Gradients of the target through the frozen network, MLPs by the half or identity rule.

    Matrix products only: one backward sweep over the weights.
    """
    position = target.position % frozen.n_positions
    g = torch.zeros_like(frozen.embed)
    direction = target.direction(frozen.logits(position), frozen.anatomy)
    g[position] = frozen.pull_direction(direction, position)
    units: list[Tensor] = []
    for layer in reversed(frozen.layers):
        of_units = layer.unit_gradients(g)
        units.append(of_units)
        through_mlp = layer.pull_units(of_units)
        below = g if layer.layer.parallel else g + through_mlp
        through_attention = layer.pull_attention(below[None])[0]
        g = g + through_mlp + through_attention
    return Gradients(units[::-1], g)


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
    return Gradients(units, (clean.embed + other.embed) / 2)


@RULES.register("ig", summary="integrated gradients over the embeddings, midpoint rule, 5 steps")
def integrated(question: Question, steps: int = 5) -> Gradients:
    """The live network's gradient, averaged over embeddings between the two prompts.

    Hanna et al. 2024 (arXiv 2403.17806), EAP-IG on inputs, with the midpoint rule, whose error is
    quadratic in the step. Without a counterfactual the path starts at the mean of the neutral prompts.
    """
    model, clean = question.model, question.clean
    start = question.baseline.embed
    at = (torch.arange(steps, device=clean.embed.device) + 0.5) / steps
    path = start + at[:, None, None].to(clean.embed.dtype) * (clean.embed - start)
    target, position = question.target, question.target.position

    def metric(logits: Float[Tensor, "b p v"]) -> Float[Tensor, ""]:
        return target.value(uncapped(logits[:, 0 if position == -1 else position], model.anatomy)).sum()

    run = model.run(
        [clean.ids] * steps,
        capture=["embed", "mlp.neurons.*"],
        backward=metric,
        edits=[edits.set("embed", path)],
        last_logits_only=position == -1,
    )
    units = [run.grad[f"mlp.neurons.{i}"].mean(0) for i in range(model.n_layers)]
    return Gradients(units, run.grad["embed"].mean(0))


def scored(question: Question, gradients: Gradients) -> tuple[Float[Tensor, "l p u"], Float[Tensor, "p"]]:
    """Attributions of all units and token embeddings: how far they are from their baseline, times the gradient."""
    clean, base = question.clean, question.baseline
    units = side_by_side([layer.neurons for layer in clean.layers]) - base.units
    return units * side_by_side(gradients.units), ((clean.embed - base.embed) * gradients.embed).sum(-1)
