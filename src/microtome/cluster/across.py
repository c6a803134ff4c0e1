"""The largest numbers of a table whose columns, and whose rows, lie in several processes: exactly as in one.

In each row (`largest`) a rank sends its k largest scores to the one that decides about that row, each about some of
the rows, and receives the bar. In the whole table (`largest_of_all`) nobody sends scores: the bar is found digit by
digit of its bits, from counts that are added up. Either way equal scores are told apart by where they stand, so that
the choice does not depend on the division.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributed import ReduceOp

from microtome.cluster.collectives import exchanged, gathered_lists, reduced, shared, summed
from microtome.cluster.mesh import Mesh

DIGIT = 8  # bits that one round of counting decides
DIGITS = 1 << DIGIT


class AcrossRanks:
    """What `core.across.Across` asks for, on a mesh.

    Args:
        mesh: this process's place.
    """

    def __init__(self, mesh: Mesh):
        self._mesh = mesh

    @property
    def batches(self) -> int:
        """Into how many parts of equal size a batch is divided."""
        return self._mesh.rows

    def largest(self, scores: Float[Tensor, "t c"], k: int) -> Bool[Tensor, "t c"]:
        """See `Across.largest`."""
        t = len(scores)
        n = self._mesh.columns
        best = scores.topk(min(k, scores.shape[1]), dim=1).values
        best = torch.nn.functional.pad(best, (0, k - best.shape[1], 0, -t % n), value=-torch.inf)
        of_each = exchanged(best.view(n, -1, k), self._mesh.same_rows)  # [ranks, t / n, k]
        of_all = of_each.transpose(0, 1).flatten(1)
        bar = of_all.topk(k, dim=1).values[:, -1]
        level = (of_each == bar[:, None]).sum(2)
        left = k - (of_all > bar[:, None]).sum(1) - (level.cumsum(0) - level)
        received = exchanged(torch.stack([bar.expand(n, -1), left.to(bar)], 2), self._mesh.same_rows)
        bars, lefts = received.flatten(0, 1)[:t].split(1, 1)
        over = scores > bars
        equal = scores == bars
        return over | (equal & (equal.cumsum(1) <= lefts))

    def largest_of_all(self, scores: Float[Tensor, "n"], places: Int[Tensor, "n"], n: int) -> Bool[Tensor, "n"]:
        """See `Across.largest_of_all`."""
        exact = scores.float() if scores.element_size() == 2 else scores
        bits = _bits(exact.clamp(min=0))
        found = self._nth(bits, n, exact.element_size() * 8)
        if found is None:
            return scores > 0
        bar, wanted, level_ones = found
        over = bits > bar
        level = bits == bar
        if level_ones == wanted:
            return over | level
        return over | (level & torch.isin(places, self._lowest(places[level], wanted)))

    def summed(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """See `Across.summed`."""
        return summed(x, self._mesh.same_rows)

    def shared(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """See `Across.shared`."""
        return shared(x, self._mesh.same_rows)

    def any(self, flags: Bool[Tensor, "..."]) -> bool:
        """See `Across.any`."""
        return bool(reduced(flags.any().int(), self._mesh.same_rows, ReduceOp.MAX))

    def least(self, x: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """See `Across.least`."""
        return reduced(x, self._mesh.everyone, ReduceOp.MIN)

    def _nth(self, bits: Int[Tensor, "n"], n: int, width: int) -> tuple[int, int, int] | None:
        """The n-th largest number, how many equal to it are among the n, and how many there are; None where it is 0."""
        bar = 0
        wanted = n
        count = 0
        for low in range(width - DIGIT, -1, -DIGIT):
            digits = (bits[bits >> low >> DIGIT == bar] >> low) & (DIGITS - 1)
            counts = reduced(torch.bincount(digits, minlength=DIGITS), self._mesh.everyone, ReduceOp.SUM)
            at_least = counts.flip(0).cumsum(0)
            below = int((at_least < wanted).sum())
            if below == DIGITS:  # fewer than n numbers in all
                return None
            digit = DIGITS - 1 - below
            count = int(counts[digit])
            wanted -= int(at_least[below]) - count
            bar = bar << DIGIT | digit
        return (bar, wanted, count) if bar else None

    def _lowest(self, places: Int[Tensor, "n"], wanted: int) -> Int[Tensor, "m"]:
        """The first of all ranks' places, those of this part of the batch: parts follow one another."""
        found = gathered_lists(places, self._mesh.everyone)
        columns = self._mesh.columns
        start = self._mesh.row_rank * columns
        earlier = sum(len(one) for one in found[:start])
        return torch.cat(found[start : start + columns]).sort().values[: max(0, wanted - earlier)]


def _bits(scores: Float[Tensor, "n"]) -> Int[Tensor, "n"]:
    """Numbers, none below zero, as whole numbers of the same order."""
    whole = {4: torch.int32, 8: torch.int64}[scores.element_size()]
    return scores.abs().view(whole).long()  # abs: −0 would come out as the largest
