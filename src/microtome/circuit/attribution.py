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
    clean, layers = question.clean.frozen, question.clean.layers
    path = between(question.baseline.embed, clean.embed, steps)
    found = _live(question, ["embed", *(layer.writes for layer in layers)], "embed", path)
    units = [layer.live_gradients(found[layer.writes]) for layer in layers]
    errors = {i: found[layer.writes] for i, layer in enumerate(layers) if layer.error is not None}
    return Gradients(units, found["embed"], errors)


@RULES.register("ig-units", summary="integrated gradients over each layer's units in turn, midpoint rule, 5 steps")
def integrated_by_layer(question: Question, steps: int = 5) -> Gradients:
    """The live network's gradient, averaged over what each layer's MLP writes between the two prompts.

    EAP-IG on activations, with the midpoint rule. On a way over the embeddings a network that switches, as compiled
    ones do, switches between two steps, and no step sees it; here each layer goes all its way before those above it.
    Takes a pass a layer, where `ig` takes one.
    """
    clean, layers = question.clean.frozen, question.clean.layers
    sites = [layer.writes for layer in layers]
    start, end = question.baseline.embed, clean.embed
    ends = question.model.run([clean.ids] * 2, capture=sites, edits=[edits.set("embed", torch.stack([start, end]))])
    ways = {site: between(ends[site][0], ends[site][1], steps) for site in sites}
    found = {site: _live(question, [site], site, way)[site] for site, way in ways.items()}
    embed = _live(question, ["embed"], "embed", between(start, end, steps))["embed"]
    errors = {i: found[layer.writes] for i, layer in enumerate(layers) if layer.error is not None}
    return Gradients([layer.live_gradients(found[layer.writes]) for layer in layers], embed, errors)


def between(start: Float[Tensor, "p *e"], end: Float[Tensor, "p *e"], steps: int) -> Float[Tensor, "s p *e"]:
    """Midpoints of so many equal steps from one tensor to another, stacked."""
    at = (torch.arange(steps, device=end.device) + 0.5) / steps
    return start + at.to(end.dtype).reshape(-1, *[1] * end.ndim) * (end - start)


def _live(question: Question, sites: list[str], moved: str, path: Tensor) -> dict[str, Tensor]:
    """The live network's gradients at sites, averaged over a path that one site takes; the rest follows."""
    model, target, position = question.model, question.target, question.target.position

    def metric(logits: Float[Tensor, "b p v"]) -> Float[Tensor, ""]:
        return target.value(uncapped(logits[:, 0 if position == -1 else position], model.anatomy)).sum()

    run = model.run(
        [question.clean.frozen.ids] * len(path), capture=sites, backward=metric,
        edits=[edits.set(moved, path, may_be_empty=moved != "embed")], last_logits_only=position == -1,
    )  # fmt: skip
    return {site: run.grad[site].mean(0) for site in sites}


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
