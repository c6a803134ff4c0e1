"""`microtome.trace`: from a prompt to the graph of the units that produced its answer."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit import bases as _bases  # noqa: F401 - its files register themselves
from microtome.circuit.attribution import RULES, Gradients, Question
from microtome.circuit.baseline import baseline
from microtome.circuit.basis import BASES, Basis
from microtome.circuit.change import Change, change, side_by_side
from microtome.circuit.drawing import draw
from microtome.circuit.edges import Chosen, EdgeMatrix, direct_edges
from microtome.circuit.graph import Graph
from microtome.circuit.target import Target, Tokens, resolve
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.model.frozen import freeze
from microtome.model.model import Model
from microtome.model.upcast import in_float32

RULE = "mean"


@dataclass(frozen=True)
class TraceConfig(Config):
    """Settings of a trace.

    Attributes:
        rule: by which units are ranked (`microtome list rule`).
        position: where the logits are read; negative from the end.
        node_share, edge_share: shares of influence that the drawn nodes and edges carry.
        ranked: how many candidates the ranking holds.
        most_edges: how many edges are drawn at most; weaker ones are folded into remainders.
    """

    rule: str = RULE
    position: int = -1
    node_share: float = 0.8
    edge_share: float = 0.98
    ranked: int = 20_000
    most_edges: int = 5_000


@dataclass(frozen=True)
class Traced:
    """Everything computed on the way to a graph."""

    question: Question
    flow: Change
    scores: Float[Tensor, "l p u"]
    embed_scores: Float[Tensor, "p"]
    chosen: Chosen
    matrix: EdgeMatrix
    basis: Basis


def trace(
    model: Model,
    prompt: Any,
    counterfactual: Any = None,
    target: Tokens = None,
    against: Tokens = None,
    basis: str = "neurons",
    max_nodes: int = 1024,
    *,
    config: TraceConfig | None = None,
) -> Graph:
    """Finds the units that produced an output and how they connect.

    Units are ranked by their attribution to the target; the best become nodes, with exact direct edges
    among them through the frozen network (docs/methods.md). Attribution is a candidate's score, not
    evidence: `prove` tests it.

    Args:
        model: opened by `microtome.open`.
        prompt: a text or token ids.
        counterfactual: as many tokens, with what matters changed; None traces values instead of changes.
        target: a token's text or id, several (logsumexp), or None for the top token.
        against: likewise; None for the mean logit.
        basis: the units (`microtome list basis`).
        max_nodes: how many units become nodes before pruning.
        config: further settings.

    Raises:
        WrongUse: prompts of different length (both tokenisations are shown), or the same prompt twice.
        NotFound: a target that is not one token.
    """
    settings = config or TraceConfig()
    if max_nodes < 1:
        raise WrongUse("trace", found=f"max_nodes={max_nodes}", do="give at least 1")
    units = BASES.get(basis)
    with working("tracing", 3) as step:
        question = ask(
            in_float32(model), prompt, counterfactual, resolve(model, prompt, target, against, settings.position)
        )
        step()
        flow = change(question.clean, question.other, question.target)
        scores, embed_scores = scored(question, RULES.get(settings.rule)(question))
        chosen = choose(scores, max_nodes)
        step()
        matrix = direct_edges(question.clean, flow, question.target, chosen, units)
        step()
    return draw(Traced(question, flow, scores, embed_scores, chosen, matrix, units), basis, settings)


def ask(model: Model, prompt: Any, counterfactual: Any, target: Target) -> Question:
    """Freezes both prompts, once they are known to be comparable."""
    clean = freeze(model, prompt)
    other = None
    if counterfactual is not None:
        same_length(model, prompt, counterfactual)
        other = freeze(model, counterfactual)
    return Question(model, prompt, counterfactual, clean, other, target, baseline(model, clean.n_positions, other))


def same_length(model: Model, prompt: Any, counterfactual: Any) -> None:
    """Raises WrongUse, with both tokenisations, where two prompts cannot be compared position by position."""
    rows = [model.batch(one).tokens[0] for one in (prompt, counterfactual)]
    if rows[0] == rows[1]:
        raise WrongUse("trace", found="a counterfactual with the same tokens as the prompt", do="change one fact in it")
    if len(rows[0]) != len(rows[1]):
        shown = [
            str(ids if model.tokenizer is None else model.tokenizer.batch_decode([[i] for i in ids])) for ids in rows
        ]
        raise WrongUse(
            "trace against a counterfactual of the same length",
            found=f"{len(rows[0])} tokens {shown[0]} and {len(rows[1])} tokens {shown[1]}",
            do="choose a counterfactual that the tokenizer cuts into as many tokens",
        )


def scored(question: Question, gradients: Gradients) -> tuple[Float[Tensor, "l p u"], Float[Tensor, "p"]]:
    """Attributions of all units and token embeddings: how far they are from their baseline, times the gradient."""
    clean, base = question.clean, question.baseline
    units = side_by_side([layer.neurons for layer in clean.layers]) - base.units
    return units * side_by_side(gradients.units), ((clean.embed - base.embed) * gradients.embed).sum(-1)


def choose(scores: Float[Tensor, "l p u"], n: int) -> Chosen:
    """The n units of largest absolute score, those of score zero left out."""
    flat = scores.abs().flatten()
    best = flat.topk(min(n, int((flat > 0).sum()))).indices.sort().values
    layers, positions, units = torch.unravel_index(best, scores.shape)
    return Chosen(layers, positions, units)
