"""Work that is divided over processes: what one part asks of the others. By default there are no others.

Columns of a table are divided over processes in order, so that a place found earlier also has the lower number.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@runtime_checkable
class Across(Protocol):
    """The processes that together hold what one process would. All of them call the same functions in the same order.

    Attributes:
        batches: into how many parts of equal size a batch is divided.
    """

    @property
    def batches(self) -> int:
        """Into how many parts of equal size a batch is divided."""
        ...

    def largest(self, scores: Float[Tensor, "t c"], k: int) -> Bool[Tensor, "t c"]:
        """Which of the scores here are among the k largest of their row in all columns; of equals the first ones."""
        ...

    def largest_of_all(self, scores: Float[Tensor, "n"], places: Int[Tensor, "n"], n: int) -> Bool[Tensor, "n"]:
        """Which of the scores here are among the n largest anywhere, of those above zero; of equals the lowest places.

        Args:
            scores: of candidates.
            places: a number for each, growing, which no other process of the same part of the batch uses.
            n: how many are taken in all parts together.
        """
        ...

    def summed(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Σ of the processes' x, for a loss that each of them then computes alike: gradients come back as they are."""
        ...

    def shared(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """x itself, which all processes hold alike and use each for a part: gradients come back summed."""
        ...

    def any(self, flags: Bool[Tensor, "..."]) -> bool:
        """Whether one is true anywhere."""
        ...

    def least(self, x: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The smallest of the processes' numbers, over all parts of the batch."""
        ...


class Alone:
    """One process that holds everything."""

    batches = 1

    def largest(self, scores: Float[Tensor, "t c"], k: int) -> Bool[Tensor, "t c"]:
        """See `Across.largest`."""
        if k >= scores.shape[1]:
            return torch.ones_like(scores, dtype=torch.bool)
        bar = scores.topk(k, dim=1).values[:, -1:]
        over = scores > bar
        level = scores == bar
        return over | (level & (level.cumsum(1) <= k - over.sum(1, keepdim=True)))

    def largest_of_all(self, scores: Float[Tensor, "n"], places: Int[Tensor, "n"], n: int) -> Bool[Tensor, "n"]:
        """See `Across.largest_of_all`."""
        if n >= len(scores):
            return scores > 0
        bar = scores.topk(n).values[-1]
        over = scores > bar
        level = scores == bar
        return (over | (level & (level.cumsum(0) <= n - over.sum()))) & (scores > 0)

    def summed(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """See `Across.summed`."""
        return x

    def shared(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """See `Across.shared`."""
        return x

    def any(self, flags: Bool[Tensor, "..."]) -> bool:
        """See `Across.any`."""
        return bool(flags.any())

    def least(self, x: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """See `Across.least`."""
        return x


def added_up(across: Across, said: Sequence[Float[Tensor, "..."]]) -> Float[Tensor, "..."]:
    """Σ of what the parts here say, added up over all processes. One part is taken as it is, without a copy."""
    return across.summed(said[0] if len(said) == 1 else torch.stack(list(said)).sum(0))
