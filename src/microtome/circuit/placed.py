"""Vectors on the stream, each read or written at one stop and position by an owner that may have several."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

ByPlace = dict[int, list[tuple[int, Tensor]]]
"""Rows by stop and position."""


@dataclass(frozen=True)
class Placed:
    """Vectors of `n` owners, which all stand at the position of their owner.

    Attributes:
        owners: whose each is, counted from 0.
        stops: where it is read or written (`places`).
        positions: of the prompt.
        vectors: `[r, w]`; narrower ones are padded with zeros.
        n: how many owners there are.
    """

    owners: Int[Tensor, "r"]
    stops: Int[Tensor, "r"]
    positions: Int[Tensor, "r"]
    vectors: Float[Tensor, "r w"]
    n: int

    def __len__(self) -> int:
        return len(self.owners)

    @classmethod
    def of(cls, stop: int, positions: Int[Tensor, "r"], vectors: Float[Tensor, "r w"]) -> "Placed":
        """One vector an owner, all at one stop."""
        owners = torch.arange(len(positions), device=positions.device)
        return cls(owners, torch.full_like(owners, stop), positions, vectors, len(owners))

    @staticmethod
    def joined(parts: "list[Placed]") -> "Placed":
        """The owners of several, one after another."""
        widest = max(one.vectors.shape[1] for one in parts)
        owners, before = [], 0
        for one in parts:
            owners.append(one.owners + before)
            before += one.n
        vectors = [torch.nn.functional.pad(one.vectors, (0, widest - one.vectors.shape[1])) for one in parts]
        return Placed(
            torch.cat(owners),
            torch.cat([one.stops for one in parts]),
            torch.cat([one.positions for one in parts]),
            torch.cat(vectors),
            before,
        )

    def take(self, which: Int[Tensor, "k"]) -> "Placed":
        """Some owners, in the order given; an owner may be taken several times."""
        order = self.owners.argsort(stable=True)
        counts = torch.bincount(self.owners, minlength=self.n)
        starts = counts.cumsum(0) - counts
        mine = torch.arange(len(which), device=which.device).repeat_interleave(counts[which])
        ends = counts[which].cumsum(0)
        within = torch.arange(len(mine), device=which.device) - (ends - counts[which])[mine]
        rows = order[starts[which][mine] + within]
        return Placed(mine, self.stops[rows], self.positions[rows], self.vectors[rows], len(which))

    def first_stops(self, *, upwards: bool) -> Int[Tensor, "n"]:
        """Where the first vector of each owner sets out: its lowest stop on the way up, its highest on the way down."""
        empty = self.stops.new_zeros(self.n)
        return empty.scatter_reduce(0, self.owners, self.stops, "amin" if upwards else "amax", include_self=False)

    def owner_positions(self) -> Int[Tensor, "n"]:
        """The position of each owner."""
        return self.positions.new_zeros(self.n).scatter(0, self.owners, self.positions)

    def by_stop(self) -> dict[int, Tensor]:
        """Which rows stand at each stop."""
        order = self.stops.argsort(stable=True)
        stops, counts = self.stops[order].unique_consecutive(return_counts=True)
        return dict(zip(stops.tolist(), order.split(counts.tolist()), strict=True))

    def by_place(self) -> ByPlace:
        """Which rows stand at each stop, position by position."""
        found: ByPlace = {}
        for stop, rows in self.by_stop().items():
            positions = self.positions[rows]
            order = positions.argsort(stable=True)
            each, counts = positions[order].unique_consecutive(return_counts=True)
            found[stop] = list(zip(each.tolist(), rows[order].split(counts.tolist()), strict=True))
        return found
