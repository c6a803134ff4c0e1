"""The store: activations on the disk, read by row, in shuffled batches, or split by documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.activations.coding import Coded, room
from microtome.activations.manifest import NAME, Manifest
from microtome.activations.shards import Shard
from microtome.activations.shuffled import BUFFER_BYTES, Shuffled
from microtome.core import fingerprint
from microtome.core.errors import SiteNotFound, WrongUse, nearest
from microtome.core.progress import track
from microtome.data.holding_out import is_held_out


@dataclass(frozen=True, repr=False)
class ActivationStore:
    """A store, or a view of some of its rows. Rows are numbered from 0 in the order in which they were harvested.

    Attributes:
        path: of the folder.
        manifest: what the store says of itself.
        shards: its files.
        chosen: numbers in the store of the rows in view, rising; None for all.
        steps: how the view was chosen.
    """

    path: Path
    manifest: Manifest
    shards: tuple[Shard, ...]
    chosen: Int[Tensor, "t"] | None = None
    steps: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        view = "".join(f", {step}" for step in self.steps)
        return f"ActivationStore({str(self.path)!r}: {self.n_tokens:,} tokens at {', '.join(self.sites)}{view})"

    def __len__(self) -> int:
        return self.n_tokens

    @property
    def n_tokens(self) -> int:
        """Rows in view."""
        return self.manifest.n_tokens if self.chosen is None else len(self.chosen)

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites that it holds."""
        return tuple(self.manifest.sites)

    @property
    def widths(self) -> Mapping[str, int]:
        """The width d of every site."""
        return self.manifest.sites

    @cached_property
    def documents(self) -> Int[Tensor, "t"]:
        """The number of each row's document, in the order of the corpus."""
        return self._told("document")

    @cached_property
    def positions(self) -> Int[Tensor, "t"]:
        """The place of each row's token in its document, the tokens put before a text counted."""
        return self._told("position")

    @cached_property
    def tokens(self) -> Int[Tensor, "t"]:
        """The id of each row's token."""
        return self._told("token")

    @cached_property
    def special(self) -> Bool[Tensor, "t"]:
        """Whether each row's token is a special one."""
        return self._told("special")

    def squares(self, site: str) -> Float[Tensor, "t"]:
        """‖x‖² of each row."""
        return self._told(f"square {self._known(site)}")

    @cached_property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² of each site over the rows in view."""
        if self.chosen is None:
            return self.manifest.mean_squared_norms
        return {site: float(self.squares(site).double().mean()) for site in self.sites}

    @cached_property
    def means(self) -> Mapping[str, Float[Tensor, "_"]]:
        """The mean of each site over all rows of the store, whatever is in view."""
        sums = {site: torch.stack([shard.tensor(f"sum {site}") for shard in self.shards]).sum(0) for site in self.sites}
        return {site: (one / self.manifest.n_tokens).float() for site, one in sums.items()}

    @property
    def fingerprint(self) -> str:
        """Digest of the rows in view."""
        return fingerprint.of_value([self.manifest.fingerprint, *self.steps])

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the data."""
        return {
            "fingerprint": self.fingerprint,
            "texts": self.manifest.card["data"],
            "model": self.manifest.card["model"],
            "config": self.manifest.card["config"],
            "tokens": self.n_tokens,
            "left_out": self.manifest.left_out,
            "limits": self.manifest.limits,
            "view": list(self.steps),
            "mean_squared_norms": dict(self.mean_squared_norms),
        }

    def summary(self) -> str:
        """What it holds and what was left out, in words."""
        size = sum(shard.record.bytes for shard in self.shards)
        out = ", ".join(f"{n:,} {why}" for why, n in self.manifest.left_out.items() if n) or "none"
        lines = [f"{self.path}: {self.n_tokens:,} tokens, {size / 1e6:,.1f} MB in {len(self.shards)} shards"]
        norms = self.mean_squared_norms
        lines += [f"  {site}: width {d}, mean squared norm {norms[site]:.4g}" for site, d in self.widths.items()]
        return "\n".join([*lines, f"  tokens left out: {out}"])

    def rows(self, site: str, index: Sequence[int] | slice | Int[Tensor, "t"]) -> Float[Tensor, "t d"]:
        """Rows in view by their numbers, in this order, in float32.

        Raises:
            SiteNotFound: the store does not hold the site.
            WrongUse: there is no such row.
        """
        return self.coded(site, index).decoded()

    def coded(self, site: str, index: Sequence[int] | slice | Int[Tensor, "t"]) -> Coded:
        """The same as they are kept."""
        self._known(site)
        at = self._numbers(index)
        numbers = at if self.chosen is None else self.chosen[at]
        into = room(len(numbers), self.widths[site], self.manifest.config.dtype)
        which = torch.searchsorted(self._ends, numbers, right=True)
        for number in which.unique().tolist():
            here = (which == number).nonzero().flatten()
            into.put(here, self.shards[number].take(site, numbers[here] - self._starts[number]))
        return into

    def shuffled(self, seed: int = 0, sites: Sequence[str] | None = None, buffer_bytes: int = BUFFER_BYTES) -> Shuffled:
        """Batches of the rows in view, shuffled anew each time that all were given: what training reads.

        Args:
            seed: of the order.
            sites: those that batches are taken of; None for all.
            buffer_bytes: memory for the rows among which it shuffles; the more, the better mixed.

        Raises:
            SiteNotFound: the store does not hold a site.
            WrongUse: no row in view, or no memory for the smallest buffer.
        """
        return Shuffled(self, tuple(map(self._known, self.sites if sites is None else sites)), seed, buffer_bytes)

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple["ActivationStore", "ActivationStore"]:
        """Two views that share no document: the larger to train on, and about this share of documents to test on.

        Appending to the store moves no document from one side to the other.

        Raises:
            WrongUse: the share does not lie between 0 and 1, or one side is empty.
        """
        held = torch.from_numpy(is_held_out(np.asarray(self.documents), held_out, seed))
        said = f"{held_out:g} of documents held out with seed {seed}"
        return self.where(~held, f"without the {said}"), self.where(held, f"the {said}")

    def below(self, norm_limit: float) -> "ActivationStore":
        """The rows whose norm is, at every site, at most this multiple of that site's median in view.

        Raises:
            WrongUse: no row is.
        """
        kept = torch.ones(self.n_tokens, dtype=torch.bool)
        for site in self.sites:
            squares = self.squares(site)
            kept &= squares <= norm_limit**2 * squares.median()
        return self.where(kept, f"norms up to {norm_limit:g} times the median")

    def where(self, kept: Bool[Tensor, "t"], step: str) -> "ActivationStore":
        """The view of those rows for which `kept` is true.

        Args:
            kept: one value for each row in view.
            step: how they were chosen, in words, for the run card; views of one store with the same steps must be
                the same rows.

        Raises:
            WrongUse: no row is kept.
        """
        if not bool(kept.any()):
            raise WrongUse(
                f"view {step} of {self}",
                found=f"no row of {self.n_tokens:,}, from {len(self.documents.unique()):,} documents",
                do="take another share, limit or seed, or harvest more documents",
            )
        numbers = kept.nonzero().flatten()
        chosen = numbers if self.chosen is None else self.chosen[numbers]
        return replace(self, chosen=chosen, steps=(*self.steps, step))

    def verify(self) -> None:
        """Reads every byte of every shard and compares it with the manifest's checksum.

        Raises:
            StoreCorrupt: they differ.
        """
        for shard in track(self.shards, "verifying shards"):
            shard.check_bytes()

    @cached_property
    def _ends(self) -> Int[Tensor, "s"]:
        return torch.tensor([shard.record.rows for shard in self.shards], dtype=torch.long).cumsum(0)

    @property
    def _starts(self) -> Int[Tensor, "s"]:
        return self._ends - torch.tensor([shard.record.rows for shard in self.shards], dtype=torch.long)

    def _told(self, name: str) -> Tensor:
        whole = torch.cat([shard.tensor(name) for shard in self.shards])
        return whole if self.chosen is None else whole[self.chosen]

    def _numbers(self, index: Sequence[int] | slice | Int[Tensor, "t"]) -> Int[Tensor, "t"]:
        if isinstance(index, slice):
            return torch.arange(self.n_tokens)[index]
        at = torch.as_tensor(index, dtype=torch.long)
        wrong = at[(at < 0) | (at >= self.n_tokens)]
        if len(wrong):
            raise WrongUse(
                f"take rows of {self}", found=f"row {int(wrong[0])}", do=f"name rows from 0 to {self.n_tokens - 1}"
            )
        return at

    def _known(self, site: str) -> str:
        if site not in self.manifest.sites:
            raise SiteNotFound(
                f"read {site!r} from the store {self.path}",
                found=nearest(site, self.manifest.sites),
                do="choose one of its sites, or harvest that one",
            )
        return site


def is_store(path: str | Path) -> bool:
    """Whether a folder is a store of activations, whole or not."""
    return Path(path, NAME).is_file()


def open_store(path: str | Path) -> ActivationStore:
    """The store in a folder. Sizes and headers of all shards are checked; `verify` compares their bytes too.

    Raises:
        MissingFile: there is no store.
        StoreCorrupt: a shard is cut, gone or something else.
        FormatError: the manifest is.
    """
    folder = Path(path)
    manifest = Manifest.load(folder)
    shards = tuple(Shard(folder, record, manifest.sites, manifest.config.dtype) for record in manifest.shards)
    for shard in shards:
        shard.check()
    return ActivationStore(folder, manifest, shards)
