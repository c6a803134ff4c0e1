"""What one looks at before tracing: predictions, the logit lens, direct logit attribution."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse

if TYPE_CHECKING:
    from microtome.model.model import Model


@dataclass(frozen=True)
class Prediction:
    """The most probable next tokens of one prompt, best first.

    Attributes:
        tokens, ids, probabilities, logits: one entry a candidate.
    """

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    probabilities: tuple[float, ...]
    logits: tuple[float, ...]

    def __str__(self) -> str:
        rows = zip(self.tokens, self.probabilities, self.logits, strict=True)
        return "\n".join(f"{token!r:16} {p:7.2%} {logit:8.3f}" for token, p, logit in rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        rows = zip(self.tokens, self.ids, self.probabilities, self.logits, strict=True)
        return {"predictions": [{"token": t, "id": i, "probability": p, "logit": z} for t, i, p, z in rows]}


@dataclass(frozen=True)
class LogitLens:
    """What the unembedding reads at each depth.

    Attributes:
        depths: sites read, from `resid.0` to `resid.final`.
        prompt: token texts.
        tokens: the best token at `[depth][position]`.
        probabilities: of that token, `[depth, p]`.
    """

    depths: tuple[str, ...]
    prompt: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    probabilities: Float[Tensor, "depth p"]

    def __str__(self) -> str:
        width = max(len(name) for name in self.depths)
        head = " " * width + "".join(f"{token!r:>16.16}" for token in self.prompt)
        rows = (
            f"{name:{width}}" + "".join(f"{t!r:>10.10}{p:6.0%}" for t, p in zip(row, ps, strict=True))
            for name, row, ps in zip(self.depths, self.tokens, self.probabilities.tolist(), strict=True)
        )
        return "\n".join((head, *rows))


def predict(model: "Model", inputs: Any, top: int) -> Prediction:
    """See `Model.predict`."""
    run = model.run(inputs, capture=["logits"], last_logits_only=True)
    if run["logits"].shape[0] != 1:
        raise WrongUse("predict", found=f"{run['logits'].shape[0]} rows", do="give one prompt, or use model.run")
    logits = run["logits"][0, -1].float()
    probabilities = logits.softmax(-1)
    ids = probabilities.topk(min(top, logits.shape[0])).indices.tolist()
    return Prediction(
        tuple(token_text(model, one) for one in ids),
        tuple(ids),
        tuple(probabilities[ids].tolist()),
        tuple(logits[ids].tolist()),
    )


def token_text(model: "Model", token: int) -> str:
    """A token's text, or its id where the model has no tokenizer."""
    return f"<{token}>" if model.tokenizer is None else str(model.tokenizer.decode([token]))


def logit_lens(model: "Model", inputs: Any) -> LogitLens:
    """See `Model.logit_lens`."""
    depths = ["resid.*", "resid.final"]
    run = model.run(inputs, capture=depths)
    names = tuple(run)
    best, probabilities = [], []
    for name in names:
        chance = read_out(model, run[name][0]).float().softmax(-1)
        top = chance.max(-1)
        best.append(tuple(token_text(model, one) for one in top.indices.tolist()))
        probabilities.append(top.values)
    prompt = tuple(token_text(model, one) for one in run.batch.tokens[0])
    return LogitLens(names, prompt, tuple(best), torch.stack(probabilities))


def read_out(model: "Model", stream: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
    """Logits of a stream: the model's own final norm and unembedding, soft-cap included."""
    anatomy = model.anatomy
    with torch.no_grad():
        logits = anatomy.unembed(anatomy.final_norm_module(stream))
    cap = anatomy.softcap
    return logits if cap is None else torch.tanh(logits / cap) * cap


def direct_attribution(
    model: "Model", inputs: Any, direction: Float[Tensor, "d"], position: int = -1
) -> dict[str, float]:
    """How much each branch's output adds directly to a direction of the unembedding at one position.

    The final norm is held at its scale; the parts add up to the direction's logit, biases of the final
    norm and unembedding aside. Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits".

    Args:
        model: the model.
        inputs: one prompt.
        direction: a row of the unembedding, or a difference of two, `[d]`.
        position: which token's stream is read.

    Returns:
        logits by site: `embed`, `attn.out.L`, `mlp.out.L`.
    """
    run = model.run(inputs, capture=["embed", "attn.out.*", "mlp.out.*", "resid.final"])
    norm = model.anatomy.final_norm
    scale = norm.scale(run["resid.final"][0, position])
    read = norm.pull(direction, scale)
    parts = [name for name in run if name != "resid.final"]
    return {name: float(run[name][0, position] @ read) for name in parts}
