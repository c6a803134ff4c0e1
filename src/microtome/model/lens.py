"""The logit lens: what the unembedding reads from the stream at each depth."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.showing import html_of
from microtome.model.edits import Edits
from microtome.model.prediction import rank
from microtome.model.tokens import one_row, token_id, token_text

if TYPE_CHECKING:
    from microtome.model.model import Model


@dataclass(frozen=True)
class TargetAtDepths:
    """How one token fares at each depth.

    Attributes:
        token: its text.
        ranks: 1 where it is the best, `[depth, p]`.
        logits, probabilities: `[depth, p]`.
    """

    token: str
    ranks: Int[Tensor, "depth p"]
    logits: Float[Tensor, "depth p"]
    probabilities: Float[Tensor, "depth p"]


@dataclass(frozen=True, repr=False)
class LogitLens:
    """What the unembedding reads at each depth.

    Attributes:
        depths: sites read, from `resid.0` to `resid.final`.
        prompt: token texts.
        tokens: the best token at `[depth][position]`.
        probabilities: of that token, `[depth, p]`.
        target: how the token that was asked about fares, or None.
    """

    depths: tuple[str, ...]
    prompt: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    probabilities: Float[Tensor, "depth p"]
    target: TargetAtDepths | None = None

    def __repr__(self) -> str:
        about = "" if self.target is None else f", {self.target.token!r}"
        return f"LogitLens({len(self.depths)} depths, {len(self.prompt)} tokens{about})"

    def __str__(self) -> str:
        width = max(len(name) for name in self.depths)
        return self._every(width) if self.target is None else self._of_target(self.target, width)

    def _every(self, width: int) -> str:
        lines = [" " * width + "".join(f"{token!r:>16.16}" for token in self.prompt)]
        for name, tokens, chances in zip(self.depths, self.tokens, self.probabilities.tolist(), strict=True):
            cells = (f"{token!r:>10.10}{p:6.0%}" for token, p in zip(tokens, chances, strict=True))
            lines.append(f"{name:{width}}" + "".join(cells))
        return "\n".join(lines)

    def _of_target(self, target: TargetAtDepths, width: int) -> str:
        lines = [f"{target.token!r} after {self.prompt[-1]!r}", f"{'':{width}}    rank    logit  probability  best"]
        for i, name in enumerate(self.depths):
            place, logit, chance = (x[i, -1].item() for x in (target.ranks, target.logits, target.probabilities))
            lines.append(f"{name:{width}}{place:8,}{logit:9.3f}{chance:13.2%}  {self.tokens[i][-1]!r}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        target = self.target and {
            "token": self.target.token,
            "ranks": self.target.ranks.tolist(),
            "logits": self.target.logits.tolist(),
            "probabilities": self.target.probabilities.tolist(),
        }
        return {
            "depths": list(self.depths),
            "prompt": list(self.prompt),
            "tokens": [list(row) for row in self.tokens],
            "probabilities": self.probabilities.tolist(),
            "target": target,
        }

    def _repr_html_(self) -> str:
        return html_of("logit lens", self.to_dict())


def logit_lens(model: "Model", inputs: Any, target: str | int | None, edits: Edits) -> LogitLens:
    """See `Model.logit_lens`."""
    row = one_row(model, inputs, "read the logit lens")
    asked = None if target is None else token_id(model, target)
    run = model.run(row, capture=["resid.*", "resid.final"], edits=edits)
    best, chances, places, asked_logits, asked_chances = [], [], [], [], []
    for stream in run.values():
        logits = read_out(model, stream)[0].float()
        probabilities = logits.softmax(-1)
        top = probabilities.max(-1)
        best.append(tuple(token_text(model, one) for one in top.indices.tolist()))
        chances.append(top.values)
        if asked is not None:
            places.append(rank(logits, torch.tensor([asked], device=logits.device))[:, 0])
            asked_logits.append(logits[:, asked])
            asked_chances.append(probabilities[:, asked])
    of_target = None
    if asked is not None:
        stacked = (torch.stack(one) for one in (places, asked_logits, asked_chances))
        of_target = TargetAtDepths(token_text(model, asked), *stacked)
    prompt = tuple(token_text(model, one) for one in run.batch.tokens[0])
    return LogitLens(tuple(run), prompt, tuple(best), torch.stack(chances), of_target)


def read_out(model: "Model", stream: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
    """Logits of a stream: the model's own final norm and unembedding, soft-cap included."""
    with torch.no_grad():
        return model.anatomy.read_out(stream)
