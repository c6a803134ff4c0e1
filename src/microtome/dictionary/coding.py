"""A dictionary as an edit sees it: block by block, from what a pass through the model has shown so far."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.coder import Read
from microtome.dictionary.architecture import Active
from microtome.dictionary.blockwise import active, measured_at, token_sizes, write_vectors
from microtome.dictionary.sparse import decoded

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@dataclass(frozen=True, repr=False)
class UnitsCoder:
    """The `core.coder.Coder` of a dictionary. Two of the same dictionary are equal.

    A reconstruction may be edited or spliced in a single pass where every site that units read comes before those
    that they write: in SAEs, transcoders and cross-layer transcoders, not in crosscoders.
    """

    dictionary: "Dictionary"

    def __repr__(self) -> str:
        return repr(self.dictionary)

    @property
    def n_units(self) -> int:
        """See `Coder.n_units`."""
        return self.dictionary.n_units

    @property
    def writes(self) -> tuple[str, ...]:
        """See `Coder.writes`."""
        return self.dictionary.writes

    def needs(self, site: str, units: Sequence[int] | None = None) -> tuple[str, ...]:
        """See `Coder.needs`."""
        dictionary, number = self.dictionary, self.dictionary.writes.index(site)
        if units is None and dictionary.W_skip is not None:
            return dictionary.reads
        starts, asked = dictionary.geometry.starts, None if units is None else torch.tensor(list(units))
        numbers = [
            one
            for i, block in dictionary.geometry.numbered
            if number in block.writes
            and (asked is None or bool(((asked >= starts[i]) & (asked < starts[i + 1])).any()))
            for one in block.reads
        ]
        if numbers and dictionary.conventions.normalised != "no":
            numbers.append(measured_at(dictionary, number))
        return tuple(dictionary.reads[one] for one in dict.fromkeys(numbers))

    def encode(self, units: Sequence[int], read: Read) -> Float[Tensor, "b p n"]:
        """See `Coder.encode`."""
        with torch.no_grad():
            like, shape = self._flat(next(iter(read.values())))
            column = torch.full((self.n_units,), -1, device=like.device)
            column[torch.tensor(list(units), dtype=torch.long, device=like.device)] = torch.arange(
                len(units), device=like.device
            )
            found = like.new_zeros(len(like), len(units))
            for start, one in self._active(read, column):
                to = column[one.picks.ids + start]
                named = to >= 0
                found[one.picks.rows[named], to[named]] = one.values[named]
            return found.view(*shape, len(units))

    def decode(
        self, site: str, units: Sequence[int], activations: Float[Tensor, "b p n"], read: Read
    ) -> Float[Tensor, "b p e"]:
        """See `Coder.decode`."""
        dictionary, number = self.dictionary, self.dictionary.writes.index(site)
        with torch.no_grad():
            flat, shape = self._flat(activations)
            ids = torch.tensor(list(units), device=flat.device)
            y = flat.new_zeros(len(flat), dictionary.geometry.d_out)
            for start, block in zip(dictionary.geometry.starts, dictionary.units, strict=False):
                if number in block.block.writes:
                    own = (ids >= start) & (ids < start + block.block.units)
                    y = y + flat[:, own] @ write_vectors(block, number)[ids[own] - start]
            return (y if (size := self._size(number, read)[1]) is None else y * size).view(*shape, -1)

    def reconstruct(self, site: str, read: Read) -> Float[Tensor, "b p e"]:
        """See `Coder.reconstruct`."""
        dictionary, number = self.dictionary, self.dictionary.writes.index(site)
        with torch.no_grad():
            like, shape = self._flat(next(iter(read.values())))
            y = dictionary.b_dec[number].expand(len(like), -1)
            for _, one in self._active(read):
                if number in one.units.block.writes:
                    y = y + decoded(one.values, write_vectors(one.units, number), one.picks)
            mean, size = self._size(number, read)
            y = y if size is None else y * size + mean
            if dictionary.W_skip is not None:
                every = torch.stack([self._flat(read[one])[0] for one in dictionary.reads], 1)
                y = y + dictionary.through(every)[:, number]
            return y.view(*shape, -1)

    def _active(self, read: Read, column: Int[Tensor, "u"] | None = None) -> Iterator[tuple[int, Active]]:
        """What each block whose sites are known does, with its first unit; of all, or those that have a column."""
        dictionary, starts = self.dictionary, self.dictionary.geometry.starts
        for number, block in dictionary.geometry.numbered:
            start = starts[number]
            sites = [dictionary.reads[one] for one in block.reads]
            asked = column is None or bool((column[start : start + block.units] >= 0).any())
            if asked and all(site in read for site in sites):
                yield start, active(dictionary, number, {site: self._flat(read[site])[0] for site in sites})

    def _size(self, number: int, read: Read) -> tuple[Tensor | float, Tensor | None]:
        """What a written site is turned back by: what was taken off the site read, and what it was divided by."""
        site = self.dictionary.reads[measured_at(self.dictionary, number)]
        known = {site: self._flat(read[site])[0]} if site in read else {}
        return token_sizes(self.dictionary, number, known)

    def _flat(self, x: Float[Tensor, "*b d"]) -> tuple[Float[Tensor, "t d"], tuple[int, ...]]:
        return x.reshape(-1, x.shape[-1]).to(self.dictionary.b_dec), tuple(x.shape[:-1])
