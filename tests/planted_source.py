"""Batches whose truth is known: a few of many random directions, with random sizes, about a mean far from zero."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Planted:
    """A `BatchSource` over sites that carry the same sparse features along different directions.

    Attributes:
        d: width of every site.
        features: how many there are.
        active: how many of them a token has, on average.
        sites: on offer.
        seed: of directions and rows.
    """

    d: int = 32
    features: int = 128
    active: float = 3.0
    sites: tuple[str, ...] = ("resid.0",)
    seed: int = 0
    directions: dict[str, Tensor] = field(init=False)
    mean: Tensor = field(init=False)

    def __post_init__(self):
        fixed = torch.Generator().manual_seed(self.seed)
        self._random = torch.Generator().manual_seed(self.seed + 1)
        self.directions, self.mean = {}, 3.0 + torch.randn(self.d, generator=fixed)
        for site in self.sites:
            found = torch.randn(self.features, self.d, generator=fixed)
            self.directions[site] = found / found.norm(dim=1, keepdim=True)
        before = self._random.get_state()
        norms = {site: rows.square().sum(1).mean() for site, rows in self.batch(4096, self.sites).items()}
        self._norms = {site: float(norm) for site, norm in norms.items()}
        self._random.set_state(before)

    @property
    def widths(self) -> Mapping[str, int]:
        return dict.fromkeys(self.sites, self.d)

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        return self._norms

    @property
    def card(self) -> dict[str, Any]:
        return {"planted": {"d": self.d, "features": self.features, "active": self.active}, "model": {"name": "none"}}

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Tensor]:
        on = torch.rand(size, self.features, generator=self._random) < self.active / self.features
        sizes = on * (1.0 + torch.rand(size, self.features, generator=self._random)) * 4
        return {site: self.mean + sizes @ self.directions[site] for site in sites}

    def state(self) -> dict[str, Any]:
        return {"random": self._random.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        self._random.set_state(state["random"])
