"""Rows: prompts with their counterfactuals and answers as token ids, in batches of one length, and what is measured."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.core.registry import Registry
from microtome.data.row import members
from microtome.data.task import Task, fitting
from microtome.model.anatomy import Anatomy
from microtome.model.model import Model
from microtome.model.tokens import token_id


@dataclass(frozen=True)
class Pair:
    """One prompt, the prompt that its values are exchanged with, and the two answers.

    Attributes:
        clean, counterfactual: token ids, as many in one as in the other.
        target, against: the ids that count for and against; several count together, by log-sum-exp.
        position: of the token after which the answer is read; negative from the end.

    Raises:
        WrongUse: the prompts differ in length, an answer is empty, or there is no such position.
    """

    clean: tuple[int, ...]
    counterfactual: tuple[int, ...]
    target: tuple[int, ...]
    against: tuple[int, ...]
    position: int = -1

    def __post_init__(self) -> None:
        lengths = len(self.clean), len(self.counterfactual)
        if lengths[0] != lengths[1]:
            raise WrongUse(
                "pair two prompts token for token",
                found=f"{lengths[0]} and {lengths[1]} tokens",
                do="give prompts of one length",
            )
        if not self.target or not self.against or not -lengths[0] <= self.position < lengths[0]:
            raise WrongUse(
                "pair two prompts",
                found=f"target {self.target}, against {self.against} at position {self.position} of {lengths[0]}",
                do="give each answer a token, and a position that the prompts have",
            )


@dataclass(frozen=True, eq=False)
class Rows:
    """Pairs of one length, run together: no row is ever padded.

    Attributes:
        pairs: at least one.
        clean, other: `[b, p]`.
        anatomy: of the network, which may cap its logits.
        reference: the untouched network's logits on the clean prompts where the answers are read, `[b, v]`.
    """

    pairs: tuple[Pair, ...]
    clean: Int[Tensor, "b p"]
    other: Int[Tensor, "b p"]
    anatomy: Anatomy
    reference: Float[Tensor, "b v"] | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def at_end(self) -> bool:
        """Whether every answer is read at the last token, so that other logits need not be computed."""
        return all(pair.position % self.clean.shape[1] == self.clean.shape[1] - 1 for pair in self.pairs)

    def answers(self, logits: Float[Tensor, "b p v"]) -> Float[Tensor, "b v"]:
        """Each row's logits at its own position."""
        if self.at_end:
            return logits[:, -1]
        at = torch.tensor([pair.position % self.clean.shape[1] for pair in self.pairs], device=logits.device)
        return logits[torch.arange(len(at), device=logits.device), at]

    def turned(self) -> "Rows":
        """The same with clean and counterfactual exchanged; the answers stay."""
        return replace(self, clean=self.other, other=self.clean)

    def repeated(self, times: int) -> "Rows":
        """All rows, then all again, …: `[times · b]`."""
        reference = None if self.reference is None else self.reference.repeat(times, 1)
        ids = {"clean": self.clean.repeat(times, 1), "other": self.other.repeat(times, 1)}
        return replace(self, pairs=self.pairs * times, reference=reference, **ids)


Metric = Callable[[Float[Tensor, "b v"], Rows], Float[Tensor, "b"]]
"""From logits where the answers are read to one number a row: the more of it, the more of the behaviour."""
METRICS: Registry[Metric] = Registry("patching-metric")


@METRICS.register("logit difference", summary="logits of the target minus those against it, before any soft-cap")
def logit_difference(logits: Float[Tensor, "b v"], rows: Rows) -> Float[Tensor, "b"]:
    """Log-sum-exp of the target's logits minus that of the others; range (-inf, inf)."""
    plain = rows.anatomy.uncapped(logits)
    return torch.stack(
        [
            row[list(pair.target)].logsumexp(-1) - row[list(pair.against)].logsumexp(-1)
            for row, pair in zip(plain, rows.pairs, strict=True)
        ]
    )


@METRICS.register("kl", summary="minus the KL divergence from the untouched network's prediction")
def minus_kl(logits: Float[Tensor, "b v"], rows: Rows) -> Float[Tensor, "b"]:
    """-KL(untouched ‖ patched) of the next token, in nats; 0 is best.

    Its gradient at the clean prompt is zero: methods that take one there find nothing.
    """
    assert rows.reference is not None
    there, here = rows.reference.log_softmax(-1), logits.log_softmax(-1)
    return -(there.exp() * (there - here)).sum(-1)


def pairs_of(model: Model, task: Task) -> tuple[tuple[Pair, ...], dict[str, int]]:
    """The rows of a task that the tokenizer can hold, as ids, and how many were dropped for which reason.

    Raises:
        WrongUse: the model has no tokenizer, or no row fits.
    """
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise WrongUse(
            f"patch on the task {task.name!r}",
            found="a model without a tokenizer",
            do="open it as (module, tokenizer), or give pairs of token ids: Pair(clean, counterfactual, …)",
        )
    fit, dropped = fitting(task, lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"]))
    made = []
    for row in fit.rows:
        clean, other = (tuple(model.batch(text).tokens[0]) for text in (row.clean, row.counterfactual))
        target, against = (tuple(token_id(model, one) for one in members(side)) for side in (row.target, row.against))
        made.append(Pair(clean, other, target, against))
    return tuple(made), dropped


def batches(model: Model, pairs: Sequence[Pair], size: int) -> Iterator[Rows]:
    """The pairs in batches of one length, at most `size` together."""
    by_length: dict[int, list[Pair]] = {}
    for pair in pairs:
        by_length.setdefault(len(pair.clean), []).append(pair)
    for same in by_length.values():
        for start in range(0, len(same), size):
            some = tuple(same[start : start + size])
            clean, other = (
                model.batch([list(ids) for ids in side]).ids
                for side in ([pair.clean for pair in some], [pair.counterfactual for pair in some])
            )
            yield Rows(some, clean, other, model.anatomy)
