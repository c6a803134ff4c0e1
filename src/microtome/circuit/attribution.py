"""Rules that say how much each unit contributes to a target, by which nodes are chosen.

A score is M(clean) − M(unit at its counterfactual value), to first order: the change times a gradient.
The rules differ in where the gradient is taken.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut, side_by_side
from microtome.circuit.operator import LinearOperator, Separately
from microtome.circuit.places import Place, leaving, reading, site_of
from microtome.circuit.question import Question
from microtome.circuit.target import Target
from microtome.core.registry import Registry
from microtome.model import edits


@dataclass(frozen=True)
class Gradients:
    """dM on units, `[p, u]` a block, on the embedding, `[p, d]`, and on each error, `[p, d]` by place."""

    units: list[Tensor]
    embed: Float[Tensor, "p d"]
    errors: dict[Place, Float[Tensor, "p d"]]


Rule = Callable[[Question], Gradients]
RULES: Registry[Rule] = Registry("rule")
DEFAULT_RULE = "ig"
"""The best of the three by area on one half of the prompts of every task: docs/tasks.md."""


class _Backward:
    """The target's gradient on its way down: it passes units, whose gradients set out again where they read."""

    def __init__(self, cut: Cut, target: Target):
        frozen = cut.frozen
        self.start, self.end, self.n, self.dtype = 0, frozen.n_positions, 1, frozen.embed.dtype
        self.units = [torch.zeros_like(block.values) for block in cut.blocks]
        self._cut, self._target = cut, Separately(target.read(cut), 0, frozen.n_positions)
        self._reading = defaultdict(list)
        for index, block in enumerate(cut.blocks):
            for place in block.reads:
                self._reading[reading(place, parallel=frozen.parallel)].append((index, place))

    def enter(self, x: Float[Tensor, "1 p w"], stop: int) -> int:
        self._target.enter(x, stop)
        for index, place in self._reading.get(stop, ()):
            x[0] += self._cut.blocks[index].pull(place, self.units[index])
        return 1


def through_gates(cut: Cut, target: Target) -> Gradients:
    """Gradients of the target through the frozen network, cut where units write.

    Matrix products only: one backward sweep over the weights.
    """
    backward, errors = _Backward(cut, target), {}
    writing = {leaving(place): place for place in cut.written}
    embed = torch.zeros_like(cut.frozen.embed)
    for moment in LinearOperator(cut).down(backward):
        if (place := writing.get(moment.stop)) is not None:
            g = moment.x[0]
            for index, block in enumerate(cut.blocks):
                if place in block.writes:
                    backward.units[index] += block.gradients(place, g)
            if place in cut.errors:
                errors[place] = g.clone()
        embed = moment.x[0]
    return Gradients(backward.units, embed.clone(), errors)


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
    errors = {place: (g + other.errors[place]) / 2 for place, g in clean.errors.items()}
    return Gradients(units, (clean.embed + other.embed) / 2, errors)


@RULES.register("ig", summary="integrated gradients over the embeddings, midpoint rule, 5 steps")
def integrated(question: Question, steps: int = 5) -> Gradients:
    """The live network's gradient, averaged over embeddings between the two prompts.

    Hanna et al. 2024 (arXiv 2403.17806), EAP-IG on inputs, with the midpoint rule, whose error is
    quadratic in the step. Without a counterfactual the path starts at the mean of the neutral prompts.
    """
    clean = question.clean
    path = between(question.baseline.embed, clean.frozen.embed, steps)
    found = _live(question, ["embed", *_live_sites(clean)], "embed", path)
    return _gradients(clean, found, found["embed"])


@RULES.register("ig-units", summary="integrated gradients over each layer's units in turn, midpoint rule, 5 steps")
def integrated_by_layer(question: Question, steps: int = 5) -> Gradients:
    """The live network's gradient, averaged over what each layer's MLP writes between the two prompts.

    EAP-IG on activations, with the midpoint rule. On a way over the embeddings a network that switches, as compiled
    ones do, switches between two steps, and no step sees it; here each layer goes all its way before those above it.
    Takes a pass a layer, where `ig` takes one.
    """
    clean, ids, sites = question.clean, question.clean.frozen.ids, _live_sites(question.clean)
    start, end = question.baseline.embed, clean.frozen.embed
    ends = question.model.run([ids] * 2, capture=sites, edits=[edits.set("embed", torch.stack([start, end]))])
    ways = {site: between(ends[site][0], ends[site][1], steps) for site in sites}
    found = {site: _live(question, [site], site, way)[site] for site, way in ways.items()}
    embed = _live(question, ["embed"], "embed", between(start, end, steps))["embed"]
    return _gradients(clean, found, embed)


def _live_sites(cut: Cut) -> list[str]:
    """Sites at whose gradients in a live pass those of units and errors are found."""
    of_errors = [site_of(place, len(cut.frozen.layers)) for place in cut.errors]
    return list(dict.fromkeys([*(site for block in cut.blocks for site in block.live), *of_errors]))


def _gradients(cut: Cut, found: dict[str, Tensor], embed: Float[Tensor, "p d"]) -> Gradients:
    errors = {place: found[site_of(place, len(cut.frozen.layers))] for place in cut.errors}
    return Gradients([block.live_gradients(found) for block in cut.blocks], embed, errors)


def between(start: Float[Tensor, "p *e"], end: Float[Tensor, "p *e"], steps: int) -> Float[Tensor, "s p *e"]:
    """Midpoints of so many equal steps from one tensor to another, stacked."""
    at = (torch.arange(steps, device=end.device) + 0.5) / steps
    return start + at.to(end.dtype).reshape(-1, *[1] * end.ndim) * (end - start)


def _live(question: Question, sites: list[str], moved: str, path: Tensor) -> dict[str, Tensor]:
    """The live network's gradients at sites, averaged over a path that one site takes; the rest follows."""
    live = question.target.live(question.model)
    run = question.model.run(
        [question.clean.frozen.ids] * len(path), capture=sites, backward=live.metric,
        edits=[edits.set(moved, path, may_be_empty=moved != "embed"), *live.edits],
        last_logits_only=live.last_logits_only,
    )  # fmt: skip
    return {site: run.grad[site].mean(0) for site in sites}


@dataclass(frozen=True)
class Scores:
    """How much the target falls when something takes its baseline value, to first order.

    Attributes:
        units: `[k, p, u]`.
        embed: of token embeddings.
        errors: of errors, by place.
    """

    units: Float[Tensor, "k p u"]
    embed: Float[Tensor, "p"]
    errors: dict[Place, Float[Tensor, "p"]]


def scored(question: Question, gradients: Gradients) -> Scores:
    """Attributions of units, token embeddings and errors: how far they are from their baseline, times the gradient."""
    clean, base = question.clean, question.baseline
    units = clean.values - base.units
    return Scores(
        units * side_by_side(gradients.units),
        ((clean.frozen.embed - base.embed) * gradients.embed).sum(-1),
        {at: ((error - base.errors[at]) * gradients.errors[at]).sum(-1) for at, error in clean.errors.items()},
    )
