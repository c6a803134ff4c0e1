"""`microtome.trace`: from a prompt to the graph of the units that produced its answer."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit import bases as _bases  # noqa: F401 - its files register themselves
from microtome.circuit.attribution import RULES, scored
from microtome.circuit.basis import BASES
from microtome.circuit.change import change
from microtome.circuit.drawing import draw
from microtome.circuit.edges import Chosen, direct_edges
from microtome.circuit.graph import Graph
from microtome.circuit.question import ask
from microtome.circuit.target import Tokens, resolve
from microtome.circuit.traced import TraceConfig, Traced
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.model.model import Model
from microtome.model.upcast import in_float32


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


def choose(scores: Float[Tensor, "l p u"], n: int) -> Chosen:
    """The n units of largest absolute score, those of score zero left out."""
    flat = scores.abs().flatten()
    best = flat.topk(min(n, int((flat > 0).sum()))).indices.sort().values
    layers, positions, units = torch.unravel_index(best, scores.shape)
    return Chosen(layers, positions, units)
