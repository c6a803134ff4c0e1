"""One reading of a store: what a dictionary makes of every token, and all figures that follow from it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.activations.store import ActivationStore
from microtome.bench.config import MeasureConfig
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.dictionary.codes import Codes
from microtome.dictionary.dictionary import Dictionary
from microtome.metrics.cosine import Cosine
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.metrics.firing import DeadFraction, DenseFraction, Density
from microtome.metrics.reconstruction import OfReconstruction
from microtome.metrics.shrinkage import Shrinkage
from microtome.metrics.sparsity import L0


@dataclass(frozen=True, eq=False)
class Piece:
    """Some tokens of a store.

    Attributes:
        x, y: what is read and what is to be reconstructed, `[t, r, d]` and `[t, w, e]`.
        documents: of each token.
        ordinary: whether its norm is no giant's, at any site.
    """

    x: Float[Tensor, "t r d"]
    y: Float[Tensor, "t w e"]
    documents: Int[Tensor, "t"]
    ordinary: Bool[Tensor, "t"]


def pieces(dictionary: Dictionary, store: ActivationStore, config: MeasureConfig) -> Iterator[Piece]:
    """All tokens in view, in order.

    Raises:
        WrongUse: some rows are not finite, or nothing but zeros.
    """
    _check_rows(dictionary, store)
    ordinary = ordinary_tokens(store, dictionary.geometry.sites, config.ordinary)
    starts = range(0, store.n_tokens, config.batch)
    for start in track(starts, "measuring"):
        at = slice(start, min(start + config.batch, store.n_tokens))
        sites = {site: store.rows(site, at) for site in dictionary.geometry.sites}
        x, y = (torch.stack([sites[site] for site in names], 1) for names in (dictionary.reads, dictionary.writes))
        yield Piece(x, y, store.documents[at], ordinary[at])


def _check_rows(dictionary: Dictionary, store: ActivationStore) -> None:
    """Says of the whole store what of one row would spoil every figure."""
    for site in dictionary.geometry.sites:
        wrong = ~store.squares(site).isfinite()
        _refuse_rows(
            dictionary, wrong, f"NaN or infinite numbers at {site}", "harvest again in float32, or leave them out"
        )
    written = torch.stack([store.squares(site) for site in dictionary.writes]).sum(0)
    zeros = f"nothing but zeros at {', '.join(dictionary.writes)}"
    _refuse_rows(dictionary, written == 0, zeros, "leave them out: they have no direction that could be kept")


def _refuse_rows(dictionary: Dictionary, wrong: Bool[Tensor, "t"], found: str, do: str) -> None:
    if bool(wrong.any()):
        rows = f"{int(wrong.sum()):,} of {len(wrong):,} rows, first in row {int(wrong.long().argmax())}"
        raise WrongUse(f"measure {dictionary}", found=f"{found} in {rows}", do=f"{do} (store.where)")


def ordinary_tokens(store: ActivationStore, sites: tuple[str, ...], limit: float) -> Bool[Tensor, "t"]:
    """Which tokens' norms are, at every site, at most this multiple of the median."""
    kept = torch.ones(store.n_tokens, dtype=torch.bool)
    for site in sites:
        squares = store.squares(site)
        kept &= squares <= limit**2 * squares.median()
    return kept


def remade(dictionary: Dictionary, piece: Piece) -> tuple[Codes, Float[Tensor, "t w e"]]:
    """A piece's codes and its reconstruction."""
    x = piece.x.squeeze(1) if len(dictionary.reads) == 1 else piece.x
    codes = dictionary.encode(x)
    y_hat = dictionary.decode(codes, like=x)
    if dictionary.W_skip is not None:
        y_hat = y_hat + dictionary.skip(x)
    return codes, y_hat.view(piece.y.shape)


class Figures:
    """What is counted while a store is read; sites that are written are put together, each token's as one vector."""

    def __init__(self, dictionary: Dictionary, dense_above: float):
        n_units = dictionary.n_units
        self.of_all: dict[str, OfReconstruction] = {m.name: m for m in (ExplainedVariance(), Cosine(), Shrinkage())}
        self.of_ordinary = {m.name: m for m in (ExplainedVariance(), Cosine())}
        self.l0, self.density = L0(n_units), Density(n_units)
        self.dead, self.dense = DeadFraction(n_units), DenseFraction(n_units, above=dense_above)
        self.n_tokens, self.n_ordinary = 0, 0

    @property
    def varies(self) -> bool:
        """Whether what was to be reconstructed differs from token to token."""
        return bool(self.of_all["explained_variance"].per_item().denominators.sum() > 0)

    def add(self, piece: Piece, codes: Codes, y_hat: Float[Tensor, "t w e"]) -> None:
        """Takes in what was made of a piece."""
        y, made, ordinary = piece.y.flatten(1), y_hat.flatten(1), piece.ordinary
        for one in self.of_all.values():
            one.add(y, made, piece.documents)
        if bool(ordinary.any()):
            for one in self.of_ordinary.values():
                one.add(y[ordinary], made[ordinary], piece.documents[ordinary])
        for one in (self.l0, self.density, self.dead, self.dense):
            one.add(codes.ids, codes.values, codes.offsets)
        self.n_tokens += len(y)
        self.n_ordinary += int(ordinary.sum())


def read(dictionary: Dictionary, store: ActivationStore, config: MeasureConfig) -> Figures:
    """All figures of a dictionary over a store.

    Raises:
        WrongUse: rows that are not finite, nothing but zeros, or all the same.
    """
    found = Figures(dictionary, config.dense_above)
    for piece in pieces(dictionary, store, config):
        codes, y_hat = remade(dictionary, piece)
        found.add(piece, codes, y_hat)
    if not found.varies:
        raise WrongUse(
            f"measure {dictionary}",
            found=f"{found.n_tokens:,} rows at {', '.join(dictionary.writes)} that are all the same",
            do="give a store of tokens that differ: there is no variance to explain",
        )
    return found
