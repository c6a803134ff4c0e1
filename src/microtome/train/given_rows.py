"""Rows that are given as they are, a tensor or an array, as a source of batches: shuffled anew at every pass."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core import fingerprint
from microtome.core.errors import SiteNotFound, WrongUse, nearest

Given = Tensor | np.ndarray


class GivenRows:
    """A `BatchSource` over rows in memory, the same tokens at every site.

    Args:
        rows: of each site, `[t, d]`, any kind of real numbers; heads lie side by side.
        seed: of the order.

    Raises:
        WrongUse: nothing, other shapes, or numbers that are not finite.
    """

    def __init__(self, rows: Mapping[str, Given], seed: int = 0):
        self._rows = {site: _checked(site, one) for site, one in rows.items()}
        lengths = {site: len(one) for site, one in self._rows.items()}
        if len(set(lengths.values())) != 1:
            raise WrongUse("train on given rows", found=f"rows by site: {lengths}", do="give as many at every site")
        self._n = next(iter(lengths.values()))
        self._seed = seed
        self._epoch = 0
        self._offset = 0
        self._order = self._shuffled()

    @property
    def widths(self) -> Mapping[str, int]:
        """The width d of every site on offer."""
        return {site: one.shape[1] for site, one in self._rows.items()}

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² at every site, over all rows."""
        return {site: float(one.double().square().sum(1).mean()) for site, one in self._rows.items()}

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the data."""
        return {"fingerprint": self._fingerprint, "rows": self._n, "seed": self._seed}

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Float[Tensor, "t d"]]:
        """The next `size` rows at these sites, in float32; starts over, newly shuffled, when all were given.

        Raises:
            SiteNotFound: a site is not on offer.
        """
        for site in sites:
            if site not in self._rows:
                raise SiteNotFound(f"take a batch at {site!r}", found=nearest(site, self._rows), do="name one of these")
        parts: list[Tensor] = []
        while size:
            if self._offset == self._n:
                self._epoch += 1
                self._offset = 0
                self._order = self._shuffled()
            parts.append(self._order[self._offset : self._offset + size])
            self._offset += len(parts[-1])
            size -= len(parts[-1])
        at = torch.cat(parts)
        return {site: self._rows[site][at].to(torch.float32) for site in sites}

    def state(self) -> dict[str, Any]:
        """Where it stands."""
        return {"of": self._fingerprint, "epoch": self._epoch, "offset": self._offset}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state that an equal source gave.

        Raises:
            WrongUse: it is the state of another source.
        """
        if state.get("of") != self._fingerprint:
            raise WrongUse(
                "go on with given rows", found="the state of a source with other rows or another seed",
                do="give the rows and the seed of before",
            )  # fmt: skip
        self._epoch = state["epoch"]
        self._offset = state["offset"]
        self._order = self._shuffled()

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint.of_value([fingerprint.of_tensors(sorted(self._rows.items())), self._seed])

    def _shuffled(self) -> Tensor:
        return torch.from_numpy(np.random.default_rng([self._seed, self._epoch]).permutation(self._n))


def _checked(site: str, given: Given) -> Tensor:
    rows = torch.as_tensor(given).detach().cpu()
    real = rows.is_floating_point()
    if not real or rows.ndim != 2 or not rows.numel():
        raise WrongUse(
            "train on given rows", found=f"at {site} a tensor {list(rows.shape)} of {rows.dtype}",
            do="give real numbers [tokens, width]; flatten batches, positions and heads first",
        )  # fmt: skip
    if bool((wrong := ~rows.float().isfinite().all(1)).any()):
        raise WrongUse(
            "train on given rows",
            found=f"NaN or infinite numbers at {site} in {int(wrong.sum()):,} of {len(rows):,} rows, first in row "
            f"{int(wrong.long().argmax())}",
            do="leave these rows out",
        )
    return rows
