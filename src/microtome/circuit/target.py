"""Targets: what is to be explained, as one number read from the logits at one position."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy
from microtome.model.model import Model
from microtome.model.tokens import token_id, token_text

Named = str | int | tuple[str | int, ...] | list[str | int]
Tokens = Named | None


@dataclass(frozen=True)
class Target:
    """M = logsumexp of some tokens' logits minus that of others, or minus the mean logit.

    Logits are taken before any final soft-cap.

    Attributes:
        ids, texts: the tokens whose logits count for.
        against_ids, against_texts: those that count against; empty for the mean logit.
        position: where it is read; negative from the end.
    """

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    against_ids: tuple[int, ...]
    against_texts: tuple[str, ...]
    position: int = -1

    def value(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
        """M, from logits before any soft-cap (`uncapped`)."""
        return logits[..., list(self.ids)].logsumexp(-1) - self._against(logits)

    def _against(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
        return logits[..., list(self.against_ids)].logsumexp(-1) if self.against_ids else logits.mean(-1)

    def read(self, normed: Float[Tensor, "*b d"], anatomy: Anatomy) -> Float[Tensor, "*b"]:
        """M, from the stream after the final norm, touching only the rows of the unembedding that it needs."""
        return _lse(normed, self.ids, anatomy) - (
            _lse(normed, self.against_ids, anatomy) if self.against_ids else _mean_logit(normed, anatomy)
        )

    def direction(self, logits: Float[Tensor, "v"], anatomy: Anatomy) -> Float[Tensor, "d"]:
        """dM/d(normed stream): the unembedding rows, weighted as the logsumexp weighs them at these logits."""
        return _weighted(logits, self.ids, anatomy.w_u) - (
            _weighted(logits, self.against_ids, anatomy.w_u) if self.against_ids else anatomy.w_u.mean(0)
        )

    def bias(self, logits: Float[Tensor, "v"], anatomy: Anatomy) -> Float[Tensor, ""]:
        """What the unembedding's own bias gives in that direction."""
        if anatomy.b_u is None:
            return logits.new_zeros(())
        column = anatomy.b_u[:, None]
        against = _weighted(logits, self.against_ids, column) if self.against_ids else column.mean(0)
        return (_weighted(logits, self.ids, column) - against)[0]


def _weighted(logits: Tensor, ids: tuple[int, ...], rows: Tensor) -> Tensor:
    chosen = list(ids)
    return logits[chosen].softmax(0) @ rows[chosen]


def _lse(normed: Tensor, ids: tuple[int, ...], anatomy: Anatomy) -> Tensor:
    chosen = list(ids)
    logits = normed @ anatomy.w_u[chosen].T
    return (logits if anatomy.b_u is None else logits + anatomy.b_u[chosen]).logsumexp(-1)


def _mean_logit(normed: Tensor, anatomy: Anatomy) -> Tensor:
    mean = normed @ anatomy.w_u.mean(0)
    return mean if anatomy.b_u is None else mean + anatomy.b_u.mean()


def resolve(model: Model, prompt: Any, target: Tokens, against: Tokens, position: int = -1) -> Target:
    """Turns what the user named into ids.

    Args:
        model: the model.
        prompt: whose top token is the target where none is named.
        target: a token's text or id, several of them, or None.
        against: likewise; None for the mean logit.
        position: where the logits are read.

    Raises:
        NotFound: a text is not one token; the message shows the tokens that it is.
        WrongUse: a token stands on both sides or twice on one, or `against` without `target`.
        SiteNotFound: the prompt has no such position.
    """
    model.batch(prompt).token(0, position)
    if target is None and against is not None:
        raise WrongUse("trace", found="`against` without `target`", do="name the target too")
    if target is None:
        logits = model.run(prompt, ["logits"])["logits"][0, position]
        ids: tuple[int, ...] = (int(logits.argmax()),)
    else:
        ids = _ids(model, target)
    others = () if against is None else _ids(model, against)
    both = [token_text(model, one) for one in ids if one in others]
    if both:
        raise WrongUse("trace", found=f"{both[0]!r} as target and against", do="name different tokens")
    return Target(ids, _texts(model, ids), others, _texts(model, others), position)


def _texts(model: Model, ids: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(token_text(model, one) for one in ids)


def _ids(model: Model, tokens: Named) -> tuple[int, ...]:
    items = tokens if isinstance(tokens, (tuple, list)) else (tokens,)
    if not items:
        raise WrongUse("trace", found="an empty set of tokens", do="name at least one token")
    ids = tuple(token_id(model, item) for item in items)
    if len(set(ids)) < len(ids):
        raise WrongUse("trace", found=f"the same token twice in {items!r}", do="name each token once")
    return ids


def uncapped(logits: Float[Tensor, "*b v"], anatomy: Anatomy) -> Float[Tensor, "*b v"]:
    """See `Anatomy.uncapped`."""
    return anatomy.uncapped(logits)
