"""Targets: what is to be explained, as one number. Here those of tokens; `site_target` has those inside the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.circuit.basis import Cut
from microtome.circuit.placed import Placed
from microtome.circuit.places import Place, leaving
from microtome.core.errors import WrongUse
from microtome.model.anatomy import Anatomy
from microtome.model.edits import Edit
from microtome.model.frozen import Frozen
from microtome.model.model import Model
from microtome.model.run import Run
from microtome.model.tokens import token_id, token_text

Named = str | int | tuple[str | int, ...] | list[str | int]
Tokens = Named | None


@dataclass(frozen=True)
class Live:
    """How a target is read in a live pass that gradients run back through.

    Attributes:
        metric: from logits to the target, summed over rows.
        edits: what has to be in force for it.
        last_logits_only: whether it needs logits at the last position alone.
    """

    metric: Callable[[Float[Tensor, "b p v"]], Float[Tensor, ""]]
    edits: tuple[Edit, ...] = ()
    last_logits_only: bool = False


@runtime_checkable
class Target(Protocol):
    """What is to be explained: one number M of a prompt."""

    @property
    def position(self) -> int:
        """Where it is read; negative from the end."""
        ...

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts for it, in words."""
        ...

    @property
    def against_texts(self) -> tuple[str, ...]:
        """What counts against it."""
        ...

    @property
    def label(self) -> str:
        """Both in short."""
        ...

    @property
    def sites(self) -> tuple[str, ...]:
        """What has to be captured for `of`."""
        ...

    def of(self, run: Run, anatomy: Anatomy) -> Float[Tensor, "b"]:
        """M of each row of a run that captured `sites`."""
        ...

    def on(self, frozen: Frozen) -> float:
        """M on a frozen prompt."""
        ...

    def looked_at(self, n_layers: int) -> frozenset[Place]:
        """Places inside a branch that nothing but this target may read."""
        ...

    def layer(self, n_layers: int) -> int:
        """The layer in which it is drawn; the number of layers at the end."""
        ...

    def read(self, cut: Cut) -> Placed:
        """Its read vectors on the stream, all of one owner."""
        ...

    def constant(self, cut: Cut) -> Float[Tensor, ""]:
        """What it has without any stream."""
        ...

    def live(self, model: Model) -> Live:
        """How it is read in a live pass."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """What a run card says of it, from which it can be made again."""
        ...


@dataclass(frozen=True)
class TokenTarget:
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

    @property
    def label(self) -> str:
        """See `Target`."""
        return f"{' or '.join(self.texts)} − {' or '.join(self.against_texts) or 'mean'}"

    @property
    def sites(self) -> tuple[str, ...]:
        """See `Target`."""
        return ("norm.final",)

    def of(self, run: Run, anatomy: Anatomy) -> Float[Tensor, "b"]:
        """See `Target.of`."""
        return self.of_normed(run["norm.final"][:, self.position], anatomy)

    def on(self, frozen: Frozen) -> float:
        """See `Target.on`."""
        return float(self.of_normed(frozen.normed[self.position], frozen.anatomy))

    def looked_at(self, n_layers: int) -> frozenset[Place]:
        """See `Target.looked_at`."""
        return frozenset()

    def layer(self, n_layers: int) -> int:
        """See `Target.layer`."""
        return n_layers

    def read(self, cut: Cut) -> Placed:
        """See `Target.read`."""
        frozen = cut.frozen
        position = self.position % frozen.n_positions
        vector = frozen.pull_direction(self.direction(frozen.logits(position), frozen.anatomy), position)
        at = torch.tensor([position], device=vector.device)
        return Placed.of(leaving(Place(len(frozen.layers), "resid")), at, vector[None])

    def constant(self, cut: Cut) -> Float[Tensor, ""]:
        """See `Target.constant`."""
        frozen = cut.frozen
        logits = frozen.logits(self.position % frozen.n_positions)
        direction = self.direction(logits, frozen.anatomy)
        return frozen.direction_constant(direction) + self.bias(logits, frozen.anatomy)

    def live(self, model: Model) -> Live:
        """See `Target.live`."""
        last = self.position == -1

        def metric(logits: Float[Tensor, "b p v"]) -> Float[Tensor, ""]:
            return self.value(uncapped(logits[:, 0 if last else self.position], model.anatomy)).sum()

        return Live(metric, last_logits_only=last)

    def to_dict(self) -> dict[str, Any]:
        """See `Target.to_dict`."""
        return {"kind": "tokens", "ids": list(self.ids), "against_ids": list(self.against_ids)}

    def value(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
        """M, from logits before any soft-cap (`uncapped`)."""
        return logits[..., list(self.ids)].logsumexp(-1) - self._against(logits)

    def _against(self, logits: Float[Tensor, "*b v"]) -> Float[Tensor, "*b"]:
        return logits[..., list(self.against_ids)].logsumexp(-1) if self.against_ids else logits.mean(-1)

    def of_normed(self, normed: Float[Tensor, "*b d"], anatomy: Anatomy) -> Float[Tensor, "*b"]:
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


def resolve(model: Model, prompt: Any, target: Tokens, against: Tokens, position: int = -1) -> TokenTarget:
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
    return TokenTarget(ids, _texts(model, ids), others, _texts(model, others), position)


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
