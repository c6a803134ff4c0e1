"""Batches: padded ids whose positions mean real tokens."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from microtome.core.counting import counted
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.model.rows import rows_of

Side = Literal["left", "right"]


@dataclass(frozen=True)
class Batch:
    """Padded ids.

    Attributes:
        ids: `[b, p]`.
        lengths: real tokens of each row.
        side: where the padding stands.
    """

    ids: Int[Tensor, "b p"]
    lengths: tuple[int, ...]
    side: Side = "right"

    @property
    def padded(self) -> bool:
        """Whether any row is shorter than the longest."""
        return min(self.lengths) < self.ids.shape[1]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each row's token 0 stands."""
        width = self.ids.shape[1]
        return tuple(width - n if self.side == "left" else 0 for n in self.lengths)

    @property
    def real(self) -> Bool[Tensor, "b p"]:
        """True where `align`ed tensors hold a real token: row b's first lengths[b] positions."""
        width = torch.arange(self.ids.shape[1], device=self.ids.device)
        return width < torch.tensor(self.lengths, device=self.ids.device)[:, None]

    @property
    def mask(self) -> Bool[Tensor, "b p"]:
        """True at real tokens, as the rows lie in `ids`."""
        return self.real.flip(1) if self.side == "left" else self.real

    @property
    def tokens(self) -> list[list[int]]:
        """Each row's real ids."""
        return [row[self.mask[i]].tolist() for i, row in enumerate(self.ids)]

    def align(self, x: Tensor, axes: tuple[int, ...]) -> Tensor:
        """Moves every row's token 0 to position 0 along the axes given, and puts zeros at padding."""
        for axis in axes if self.padded else ():
            x = x.movedim(axis, 1)
            x = self._rolled(x, [-offset for offset in self.offsets])
            x = x.masked_fill(~self.real.reshape(self.real.shape + (1,) * (x.ndim - 2)), 0)
            x = x.movedim(1, axis)
        return x

    def unalign(self, x: Tensor) -> Tensor:
        """The opposite of `align`, for positions on axis 1."""
        return self._rolled(x, list(self.offsets)) if self.padded else x

    def padded_on(self, side: Side) -> "Batch":
        """The same rows with their padding on this side."""
        if side == self.side:
            return self
        turned = replace(self, side=side)
        return replace(turned, ids=turned.unalign(self._rolled(self.ids, [-offset for offset in self.offsets])))

    def _rolled(self, x: Tensor, shifts: list[int]) -> Tensor:
        if not any(shifts):
            return x
        width = x.shape[1]
        shift = torch.tensor(shifts, device=x.device)[:, None]
        index = (torch.arange(width, device=x.device) - shift) % width
        return x.gather(1, index.reshape(index.shape + (1,) * (x.ndim - 2)).expand(x.shape))

    def place(self, row: int, position: int) -> int:
        """The column of `ids` where a token stands; arguments and errors as for `token`."""
        return self.offsets[row] + self.token(row, position)

    def token(self, row: int, position: int) -> int:
        """A position as a count of real tokens from the row's start; negative ones count from its end.

        Raises:
            SiteNotFound: the row has no such token.
        """
        length = self.lengths[row]
        if not -length <= position < length:
            raise SiteNotFound(
                f"find position {position}",
                found=f"row {row} of the batch has {counted(length, 'token')}",
                do=f"name one of 0 to {length - 1}, or -1 to -{length} from the end",
            )
        return position % length


def to_batch(
    inputs: Any, tokenizer: PreTrainedTokenizerBase | None, device: torch.device, side: Side | None = None
) -> Batch:
    """Makes a batch of what the user gave.

    Args:
        inputs: a text, a chat (`[{"role", "content"}]`), token ids (`[p]`), a batch of any of these (ragged
            ones too), ids as a tensor (`[p]` or `[b, p]`), what a tokenizer gives (ids with their mask), or a `Batch`.
        tokenizer: of the model; needed for text.
        device: where the ids go.
        side: where shorter rows are padded; None leaves a `Batch` as it is, and pads others on the right.

    Raises:
        WrongUse: nothing to run on, or a kind of input that is none of these.
    """
    if side not in ("left", "right", None):
        raise WrongUse("pad the rows of a batch", found=f"padding={side!r}", do="say 'left' or 'right'")
    if isinstance(inputs, Batch):
        return inputs if side is None else inputs.padded_on(side)
    rows = rows_of(inputs, tokenizer)
    if not rows or not all(rows):
        raise WrongUse(
            "run the model",
            found="no tokens" if len(rows) < 2 else f"row {[bool(row) for row in rows].index(False)} has no tokens",
            do="give at least one token a row",
        )
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), _pad_id(tokenizer), dtype=torch.long)
    for i, row in enumerate(rows):
        start = width - len(row) if side == "left" else 0
        ids[i, start : start + len(row)] = torch.tensor(row)
    return Batch(ids.to(device), tuple(map(len, rows)), side or "right")


def check_ids(batch: Batch, vocabulary: int | None, longest: int | None) -> Batch:
    """The batch, where a model can read it.

    Args:
        batch: what will be run.
        vocabulary: how many token ids the model embeds, if known.
        longest: how many positions it was made for, if known: beyond, rotary ones too give anything.

    Raises:
        WrongUse: an id that is none of them, or a row that is too long.
    """
    least = int(batch.ids.min())
    most = int(batch.ids.max())
    if vocabulary is not None and not 0 <= least <= most < vocabulary:
        raise WrongUse(
            "run the model",
            found=f"the token id {most if least >= 0 else least}",
            do=f"give ids from 0 to {vocabulary - 1}: the model has no others",
        )
    if longest is not None and batch.ids.shape[1] > longest:
        raise WrongUse(
            "run the model",
            found=f"{batch.ids.shape[1]} tokens in a row",
            do=f"give {longest} at most: the model was made for no position beyond (max_position_embeddings)",
        )
    return batch


def _pad_id(tokenizer: PreTrainedTokenizerBase | None) -> int:
    """Any id will do: padding is masked. The tokenizer's own keeps printed ids readable."""
    known = None if tokenizer is None else tokenizer.pad_token_id
    return known if isinstance(known, int) else 0
