"""The next token of a prompt: the most probable ones, or those that are asked about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from microtome.core.errors import WrongUse
from microtome.core.showing import html_of
from microtome.model.edits import Edits
from microtome.model.tokens import one_row, token_id, token_text

if TYPE_CHECKING:
    from microtome.model.model import Model


@dataclass(frozen=True)
class Prediction:
    """Next tokens of one prompt, best first, or in the order in which they were named.

    Attributes:
        tokens, ids, probabilities, logits: one entry a candidate.
        ranks: how many tokens are at least as probable; 1 is the best.
    """

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    logits: tuple[float, ...]
    ranks: tuple[int, ...]

    def __str__(self) -> str:
        best_first = self.ranks == tuple(range(1, len(self.ranks) + 1))
        lines = []
        for token, p, logit, rank in zip(self.tokens, self.probabilities, self.logits, self.ranks, strict=True):
            line = f"{token!r:16} {p:7.2%} {logit:8.3f}"
            lines.append(line if best_first else f"{line}   rank {rank:,}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rows = zip(self.tokens, self.ids, self.probabilities, self.logits, self.ranks, strict=True)
        return {
            "predictions": [
                {"token": token, "id": one, "probability": p, "logit": logit, "rank": rank}
                for token, one, p, logit, rank in rows
            ]
        }

    def _repr_html_(self) -> str:
        return html_of("prediction", self.to_dict())


def predict(model: "Model", inputs: Any, top: int, tokens: Sequence[str | int] | None, edits: Edits) -> Prediction:
    """See `Model.predict`."""
    if isinstance(model.module, PreTrainedModel) and not model.network.generates:
        raise model.network.lacking(f"predict the next token with {model.name!r}", "no logits of a next token")
    if top < 1:
        raise WrongUse("predict", found=f"top={top}", do="ask for at least one token")
    if isinstance(tokens, str) or (tokens is not None and not tokens):
        raise WrongUse("predict", found=f"tokens={tokens!r}", do='give a list of tokens, such as tokens=[" Paris"]')
    row = one_row(model, inputs, "predict")
    named = None if tokens is None else [token_id(model, one) for one in tokens]
    run = model.run(row, capture=["logits"], edits=edits, last_logits_only=True)
    logits = run["logits"][0, -1].float()
    probabilities = logits.softmax(-1)
    ids = probabilities.topk(min(top, logits.shape[0])).indices.tolist() if named is None else named
    return Prediction(
        tuple(token_text(model, one) for one in ids),
        tuple(ids),
        tuple(probabilities[ids].tolist()),
        tuple(logits[ids].tolist()),
        tuple(rank(logits, torch.tensor(ids, device=logits.device)).tolist()),
    )


def rank(logits: Float[Tensor, "*b v"], ids: Int[Tensor, "n"]) -> Int[Tensor, "*b n"]:
    """The rank of each of some tokens: one more than there are tokens above it."""
    of_each = logits[..., ids].unsqueeze(-1)
    return (logits.unsqueeze(-2) > of_each).sum(-1) + 1
