"""Shuffled batches of a store: short runs of rows in random order, mixed in memory."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microtome.activations.coding import Coded, row_bytes
from microtome.core import fingerprint
from microtome.core.errors import SiteNotFound, WrongUse

if TYPE_CHECKING:
    from microtome.activations.store import ActivationStore

RUN = 128  # rows that are read together: what a disk gives at about the speed of a whole file
BUFFER_BYTES = 512 << 20


class Shuffled:
    """A `BatchSource` over a view of a store.

    The view's rows are cut into runs, the runs are put in an order that the seed and the epoch decide, and as many
    of them as fit the buffer are read at once and mixed. Its whole state is three numbers.
    """

    def __init__(self, store: "ActivationStore", sites: Sequence[str], seed: int, buffer_bytes: int):
        size = sum(row_bytes(store.widths[site], store.manifest.config.dtype) for site in sites)
        self._runs = buffer_bytes // (size * RUN) if size else 0
        if not store.n_tokens or not self._runs:
            raise WrongUse(
                f"read shuffled batches of {store}",
                found=f"buffer_bytes={buffer_bytes:,} for {len(sites)} sites" if store.n_tokens else "no row",
                do=f"give room for {RUN} rows: {size * RUN:,} bytes" if store.n_tokens else "harvest some first",
            )
        self._store = store
        self._sites = tuple(sites)
        self._seed = seed
        self._epoch, self._fill, self._offset = 0, 0, 0
        self._held: dict[str, Coded] = {}
        self._deal()

    @property
    def widths(self) -> Mapping[str, int]:
        """The width d of every site on offer."""
        return {site: self._store.widths[site] for site in self._sites}

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² at every site, over the view."""
        return {site: self._store.mean_squared_norms[site] for site in self._sites}

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the data: of the view, and the seed of its order."""
        return self._store.card | {"seed": self._seed}

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Float[Tensor, "t d"]]:
        """The next `size` rows at these sites, in float32; starts over, newly shuffled, when all were given.

        Raises:
            SiteNotFound: a site is not on offer.
        """
        for site in sites:
            if site not in self._sites:
                raise SiteNotFound(
                    f"take a batch at {site!r}",
                    found=f"a source of {', '.join(self._sites)}",
                    do="name the site when the source is made",
                )
        parts: dict[str, list[Tensor]] = {site: [] for site in sites}
        while size:
            if self._offset == len(self._order):
                self._next()
            at = self._order[self._offset : self._offset + size]
            for site, found in parts.items():
                found.append(self._buffer(site).take(at).decoded())
            self._offset += len(at)
            size -= len(at)
        return {site: found[0] if len(found) == 1 else torch.cat(found) for site, found in parts.items()}

    def state(self) -> dict[str, Any]:
        """Where it stands."""
        return {"of": self._identity(), "epoch": self._epoch, "fill": self._fill, "offset": self._offset}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state that an equal source gave.

        Raises:
            WrongUse: it is the state of another source.
        """
        if state.get("of") != self._identity():
            raise WrongUse(
                f"go on with reading {self._store}",
                found="the state of a source with other rows, sites, seed or buffer",
                do="open the store and ask for batches as before",
            )
        self._epoch = state["epoch"]
        self._fill = state["fill"]
        self._deal()
        self._offset = state["offset"]

    def _identity(self) -> str:
        return fingerprint.of_value([self._store.fingerprint, self._sites, self._seed, self._runs])

    def _next(self) -> None:
        self._fill += 1
        if self._fill == self._fills:
            self._epoch += 1
            self._fill = 0
        self._deal()

    def _deal(self) -> None:
        """Decides which rows the buffer holds, and their order; they are read when a site is first asked for."""
        n = self._store.n_tokens
        runs = np.random.default_rng([self._seed, self._epoch]).permutation(-(-n // RUN))
        self._fills = -(-len(runs) // self._runs)
        mine = np.sort(np.array_split(runs, self._fills)[self._fill])  # of equal size: a small one would mix badly
        rows = (mine[:, None] * RUN + np.arange(RUN)).reshape(-1)
        self._rows = torch.from_numpy(rows[rows < n])
        order = np.random.default_rng([self._seed, self._epoch, self._fill + 1]).permutation(len(self._rows))
        self._order = torch.from_numpy(order)
        self._offset = 0
        self._held.clear()

    def _buffer(self, site: str) -> Coded:
        if site not in self._held:
            self._held[site] = self._store.coded(site, self._rows)
        return self._held[site]
