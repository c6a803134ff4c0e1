"""Codes: which units are active on each token, and how much. Compressed rows, never a dense array unless asked."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse


@dataclass(frozen=True, eq=False)
class Picks:
    """Places in a `[t, u]` array that were chosen, row by row.

    Attributes:
        ids: units, row after row, `[n]`.
        offsets: where each row begins in `ids`, and at the end their number, `[t1]`, t1 = t + 1.
        n_units: u.
        dots: read vector · input at each place, `[n]`, where the choice computed it already.
    """

    ids: Int[Tensor, "n"]
    offsets: Int[Tensor, "t1"]
    n_units: int
    dots: Float[Tensor, "n"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_rows(self) -> int:
        """t."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> Int[Tensor, "t"]:
        """How many places each row has."""
        return self.offsets.diff()

    @property
    def rows(self) -> Int[Tensor, "n"]:
        """The row of each place."""
        every = torch.arange(self.n_rows, device=self.ids.device)
        return every.repeat_interleave(self.counts, output_size=len(self.ids))

    def where(self, chosen: Bool[Tensor, "n"]) -> "Picks":
        """Those places alone."""
        before = torch.cat([chosen.new_zeros(1, dtype=torch.int64), chosen.cumsum(0)])
        dots = None if self.dots is None else self.dots[chosen]
        return Picks(self.ids[chosen], before[self.offsets], self.n_units, dots)

    @staticmethod
    def stacked(parts: "Sequence[Picks]") -> "Picks":
        """The rows of several, one after another; they have `dots` all or none."""
        if len(parts) == 1:
            return parts[0]
        ids, counts = torch.cat([one.ids for one in parts]), torch.cat([one.counts for one in parts])
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        known = [one.dots for one in parts if one.dots is not None]
        return Picks(ids, offsets, parts[0].n_units, torch.cat(known) if known else None)

    @staticmethod
    def of(places: Bool[Tensor, "t u"], dots: Float[Tensor, "t u"] | None = None) -> "Picks":
        """Every place that is true."""
        rows, ids = places.nonzero(as_tuple=True)
        offsets = torch.cat([rows.new_zeros(1), places.sum(1).cumsum(0)])
        return Picks(ids, offsets, places.shape[1], None if dots is None else dots[rows, ids])


@dataclass(frozen=True, eq=False)
class Codes:
    """Activations of a dictionary's units; zeros are not kept.

    Attributes:
        ids: active units, token after token, `[n]`.
        values: their activations, `[n]`.
        offsets: where each token begins, and at the end n, `[t1]`, t1 = t + 1; t counts the tokens of `shape`.
        shape: of the batch, such as `(b, p)`.
        n_units: of the dictionary.
    """

    ids: Int[Tensor, "n"]
    values: Float[Tensor, "n"]
    offsets: Int[Tensor, "t1"]
    shape: tuple[int, ...]
    n_units: int

    def __post_init__(self) -> None:
        if len(self.offsets) != prod(self.shape) + 1 or len(self.ids) != len(self.values):
            raise WrongUse(
                "make codes",
                found=f"{len(self.offsets)} offsets for a batch {list(self.shape)}, {len(self.ids)} ids and "
                f"{len(self.values)} values",
                do="give one offset a token and one more, and as many values as ids",
            )

    def __repr__(self) -> str:
        return f"Codes({len(self.ids):,} active of {self.n_units:,} units on a batch {list(self.shape)})"

    @property
    def picks(self) -> Picks:
        """Where they stand."""
        return Picks(self.ids, self.offsets, self.n_units)

    def dense(self) -> Float[Tensor, "*batch u"]:
        """Every unit's activation: `[*shape, u]`, mostly zeros."""
        full = self.values.new_zeros(self.picks.n_rows, self.n_units)
        full[self.picks.rows, self.ids] = self.values
        return full.view(*self.shape, self.n_units)

    def where(self, chosen: Bool[Tensor, "n"]) -> "Codes":
        """Those activations alone."""
        kept = self.picks.where(chosen)
        return replace(self, ids=kept.ids, values=self.values[chosen], offsets=kept.offsets)

    @staticmethod
    def of(dense: Float[Tensor, "*batch u"]) -> "Codes":
        """What is not zero in a dense array."""
        flat = dense.reshape(-1, dense.shape[-1])
        picks = Picks.of(flat != 0, flat)
        values = picks.dots if picks.dots is not None else flat.new_zeros(0)
        return Codes(picks.ids, values, picks.offsets, tuple(dense.shape[:-1]), picks.n_units)


def side_by_side(parts: list[tuple[Picks, Float[Tensor, "_"]]], shape: tuple[int, ...]) -> Codes:
    """Codes of several blocks as those of one dictionary: ids of later blocks come after all of earlier ones.

    Zeros are left out.
    """
    starts = [0]
    for picks, _ in parts:
        starts.append(starts[-1] + picks.n_units)
    rows = torch.cat([picks.rows for picks, _ in parts])
    ids = torch.cat([picks.ids + start for (picks, _), start in zip(parts, starts, strict=False)])
    values = torch.cat([values for _, values in parts])
    order = rows.argsort(stable=True) if len(parts) > 1 else torch.arange(len(rows), device=rows.device)
    order = order[values[order] != 0]
    counts = torch.bincount(rows[order], minlength=parts[0][0].n_rows)
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Codes(ids[order], values[order], offsets, shape, starts[-1])
