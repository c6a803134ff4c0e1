"""What one looks at before tracing: predictions, the logit lens, direct logit attribution."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import NotFound, WrongUse
from microtome.model.anatomy import Layer
from microtome.model.inputs import Batch, text_ids

if TYPE_CHECKING:
    from microtome.model.model import Model

SHOWN = 12  # parts of a direct attribution that are printed


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


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"LogitLens({len(self.depths)} depths, {len(self.prompt)} tokens)"

    def __str__(self) -> str:
        width = max(len(name) for name in self.depths)
        head = " " * width + "".join(f"{token!r:>16.16}" for token in self.prompt)
        rows = (
            f"{name:{width}}" + "".join(f"{t!r:>10.10}{p:6.0%}" for t, p in zip(row, ps, strict=True))
            for name, row, ps in zip(self.depths, self.tokens, self.probabilities.tolist(), strict=True)
        )
        return "\n".join((head, *rows))


@dataclass(frozen=True, repr=False)
class DirectAttribution:
    """What each part of a model adds to a difference of two logits by itself, through the unembedding alone.

    Attributes:
        target: the token whose logit counts for, as text.
        against: the one that counts against; None for the mean logit.
        position: which token's stream is read.
        parts: logits by site, `embed`, `attn.out.L`, `mlp.out.L`; and `bias`, what the final norm's and the
            unembedding's biases give.
        heads: how each `attn.out` divides among its heads, `[l, h]`; what its own biases give is not among them.
    """

    target: str
    against: str | None
    position: int
    parts: dict[str, float]
    heads: Float[Tensor, "l h"]

    @property
    def value(self) -> float:
        """The difference of the logits, before any soft-cap: the sum of the parts."""
        return sum(self.parts.values())

    def __repr__(self) -> str:
        return f"DirectAttribution({str(self).splitlines()[0]}, {len(self.parts)} parts)"

    def __str__(self) -> str:
        against = "the mean logit" if self.against is None else repr(self.against)
        parts = sorted(self.parts.items(), key=lambda part: -abs(part[1]))
        lines = [f"{self.target!r} against {against} at position {self.position}: {self.value:.3f}"]
        lines += [f"{name:14}{logits:9.3f}" for name, logits in parts[:SHOWN]]
        if rest := [logits for _, logits in parts[SHOWN:]]:
            others = f"{len(rest)} others"
            lines.append(f"{others:14}{sum(rest):9.3f}   (the {SHOWN} largest of {len(parts)} are shown)")
        return "\n".join(lines)


def predict(model: "Model", inputs: Any, top: int) -> Prediction:
    """See `Model.predict`."""
    if top < 1:
        raise WrongUse("predict", found=f"top={top}", do="ask for at least one token")
    run = model.run(_one(model, inputs, "predict"), capture=["logits"], last_logits_only=True)
    logits = run["logits"][0, -1].float()
    probabilities = logits.softmax(-1)
    ids = probabilities.topk(min(top, logits.shape[0])).indices.tolist()
    return Prediction(
        tuple(token_text(model, one) for one in ids),
        tuple(ids),
        tuple(probabilities[ids].tolist()),
        tuple(logits[ids].tolist()),
    )


def _one(model: "Model", inputs: Any, what: str) -> Batch:
    batch = model.batch(inputs)
    if len(batch.lengths) != 1:
        raise WrongUse(what, found=f"{len(batch.lengths)} rows", do="give one prompt, or use model.run")
    return batch


def token_text(model: "Model", token: int) -> str:
    """A token's text, or its id where the model has no tokenizer."""
    return f"<{token}>" if model.tokenizer is None else str(model.tokenizer.decode([token]))


def logit_lens(model: "Model", inputs: Any) -> LogitLens:
    """See `Model.logit_lens`."""
    run = model.run(_one(model, inputs, "read the logit lens"), capture=["resid.*", "resid.final"])
    names = tuple(run)
    best = []
    probabilities = []
    for name in names:
        top = read_out(model, run[name])[0].float().softmax(-1).max(-1)
        best.append(tuple(token_text(model, one) for one in top.indices.tolist()))
        probabilities.append(top.values)
    prompt = tuple(token_text(model, one) for one in run.batch.tokens[0])
    return LogitLens(names, prompt, tuple(best), torch.stack(probabilities))


def read_out(model: "Model", stream: Float[Tensor, "*b d"]) -> Float[Tensor, "*b v"]:
    """Logits of a stream: the model's own final norm and unembedding, soft-cap included."""
    anatomy = model.anatomy
    with torch.no_grad():
        return anatomy.capped(anatomy.unembed(anatomy.final_norm_module(stream)))


def direct_attribution(
    model: "Model", inputs: Any, target: str | int, against: str | int | None, position: int
) -> DirectAttribution:
    """See `Model.direct_attribution`."""
    batch = _one(model, inputs, "attribute a logit directly")
    ids = token_id(model, target), None if against is None else token_id(model, against)
    place = batch.token(0, position)
    run = model.run(batch, capture=["embed", "attn.heads.*", "attn.out.*", "mlp.out.*", "resid.final"])
    direction, bias = _direction(model, *ids)
    norm = model.anatomy.final_norm.cast(_exact)
    read = norm.pull(direction, norm.scale(_exact(run["resid.final"][0, place])))
    names = [name for name in model.sites() if name == "embed" or name.startswith(("attn.out.", "mlp.out."))]
    parts = {name: float(_exact(run[name][0, place]) @ read) for name in names}
    if norm.bias is not None:
        bias += float(direction @ norm.bias)
    texts = [None if one is None else token_text(model, one) for one in ids]
    mixes = _exact(run.stack("attn.heads.*")[:, 0, place])
    heads = torch.stack([_by_head(*one, read) for one in zip(model.anatomy.layers, mixes, strict=True)])
    return DirectAttribution(str(texts[0]), texts[1], position, {**parts, "bias": bias}, heads)


def _exact(x: Tensor) -> Tensor:
    """In float64, on the CPU: not every device has it."""
    return x.cpu().double()


def _direction(model: "Model", target: int, against: int | None) -> tuple[Float[Tensor, "d"], float]:
    """The unembedding's row of a token minus another's, or minus the mean row; and the same of its bias."""
    rows = model.anatomy.w_u
    constants = model.anatomy.b_u
    direction = _exact(rows[target]) - _row(rows, against)
    return direction, 0.0 if constants is None else float(_exact(constants[target]) - _row(constants, against))


def _row(rows: Tensor, one: int | None) -> Tensor:
    """One row, or the mean of all."""
    return rows.cpu().mean(0, dtype=torch.float64) if one is None else _exact(rows[one])


def _by_head(layer: Layer, mixes: Float[Tensor, "h c"], read: Float[Tensor, "d"]) -> Float[Tensor, "h"]:
    """What each head writes towards a read vector; a norm after the branch is held at its scale."""
    written = torch.einsum("hc,dhc->hd", mixes, _exact(layer.w_o))
    if layer.attn_post_norm is not None:
        norm = layer.attn_post_norm.cast(_exact)
        total = written.sum(0)
        read = norm.pull(read, norm.scale(total if layer.b_o is None else total + _exact(layer.b_o)))
    return written @ read


def token_id(model: "Model", item: str | int) -> int:
    """The id of one token, named by its text or its id.

    Raises:
        NotFound: the text is not one token; the message shows those that it is.
        WrongUse: an id that the model does not have, or a text where it has no tokenizer.
    """
    if isinstance(item, int):
        vocabulary = model.anatomy.sizes.v
        if not 0 <= item < vocabulary:
            raise WrongUse(
                f"find the token id {item}",
                found=f"a vocabulary of {vocabulary}",
                do=f"give an id from 0 to {vocabulary - 1}",
            )
        return item
    if model.tokenizer is None:
        raise WrongUse(f"find the token {item!r}", found="a model without a tokenizer", do="give token ids")
    ids = text_ids(item, model.tokenizer, special=False)
    if len(ids) != 1:
        shown = " + ".join(repr(token_text(model, one)) for one in ids) or "nothing"
        hint = "; words inside a text begin with a space" if not item.startswith(" ") else ""
        raise NotFound(
            f"find the token {item!r}",
            found=f"the tokenizer makes {len(ids)} tokens of it: {shown}",
            do=f"name one token{hint}",
        )
    return ids[0]
