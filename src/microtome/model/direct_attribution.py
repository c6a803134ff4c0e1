"""Direct logit attribution: what each part of a model adds to a difference of logits by itself."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.showing import html_of
from microtome.model.anatomy import Layer
from microtome.model.certificate import ATTRIBUTION, relied_on
from microtome.model.projections import require_plain_weights
from microtome.model.tokens import one_row, token_id, token_text

if TYPE_CHECKING:
    from microtome.model.model import Model

SHOWN = 12  # parts of a direct attribution that are printed


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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "target": self.target,
            "against": self.against,
            "position": self.position,
            "value": self.value,
            "parts": self.parts,
            "heads": self.heads.tolist(),
        }

    def _repr_html_(self) -> str:
        return html_of("direct attribution", self.to_dict())


def direct_attribution(
    model: "Model", inputs: Any, target: str | int, against: str | int | None, position: int
) -> DirectAttribution:
    """See `Model.direct_attribution`."""
    require_plain_weights(model.anatomy, "attribute a logit directly")
    relied_on(model.certificate, ATTRIBUTION, "attribute a logit directly")
    batch = one_row(model, inputs, "attribute a logit directly")
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
