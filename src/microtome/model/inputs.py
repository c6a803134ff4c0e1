"""Inputs: text, ids, batches or chat messages, made into padded ids whose positions mean real tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from microtome.core.errors import SiteNotFound, WrongUse

Side = Literal["left", "right"]
Inputs = str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]] | Sequence[dict[str, str]] | Tensor


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

    def _rolled(self, x: Tensor, shifts: list[int]) -> Tensor:
        if not any(shifts):
            return x
        width = x.shape[1]
        shift = torch.tensor(shifts, device=x.device)[:, None]
        index = (torch.arange(width, device=x.device) - shift) % width
        return x.gather(1, index.reshape(index.shape + (1,) * (x.ndim - 2)).expand(x.shape))

    def place(self, row: int, position: int) -> int:
        """Where a real token's position stands in `ids`; negative ones count from the row's end.

        Raises:
            SiteNotFound: the row has no such token.
        """
        length = self.lengths[row]
        if not -length <= position < length:
            raise SiteNotFound(
                f"find position {position}",
                found=f"row {row} of the batch has {length} tokens",
                do=f"name one of 0 to {length - 1}, or -1 to -{length} from the end",
            )
        return self.offsets[row] + position % length


def to_batch(
    inputs: Any, tokenizer: PreTrainedTokenizerBase | None, device: torch.device, side: Side = "right"
) -> Batch:
    """Makes a batch of what the user gave.

    Args:
        inputs: a text, texts, chat messages (`[{"role", "content"}]`), token ids (`[p]` or `[b, p]`, ragged
            lists too), or a `Batch`.
        tokenizer: of the model; needed for text.
        device: where the ids go.
        side: where shorter rows are padded.

    Raises:
        WrongUse: nothing to run on, or a kind of input that is none of these.
    """
    if isinstance(inputs, Batch):
        return inputs
    rows = _rows(inputs, tokenizer)
    if not rows or not all(rows):
        raise WrongUse(
            "run the model",
            found="no tokens" if not rows else f"row {[bool(r) for r in rows].index(False)} has no tokens",
            do="give at least one token a row",
        )
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), _pad_id(tokenizer), dtype=torch.long)
    for i, row in enumerate(rows):
        start = width - len(row) if side == "left" else 0
        ids[i, start : start + len(row)] = torch.tensor(row)
    return Batch(ids.to(device), tuple(map(len, rows)), side)


def _rows(inputs: Any, tokenizer: PreTrainedTokenizerBase | None) -> list[list[int]]:
    if isinstance(inputs, Tensor):
        return torch.atleast_2d(inputs).tolist()
    if isinstance(inputs, str):
        return [text_ids(inputs, tokenizer)]
    items = list(inputs)
    if all(isinstance(item, str) for item in items):
        return [text_ids(item, tokenizer) for item in items]
    if all(isinstance(item, int) for item in items):
        return [items]
    if all(isinstance(item, dict) for item in items):
        return [_chat_ids(items, tokenizer)]
    if all(isinstance(item, (list, tuple, Tensor)) for item in items):
        return [[int(one) for one in item] for item in items]
    raise WrongUse(
        "run the model",
        found=f"an input of {sorted({type(item).__name__ for item in items})}",
        do="give a text, texts, chat messages, or token ids",
    )


def text_ids(text: str, tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    """The ids of a text, with the special tokens that the tokenizer adds."""
    return list(_present(tokenizer)(text)["input_ids"])


def _chat_ids(messages: list[dict[str, str]], tokenizer: PreTrainedTokenizerBase | None) -> list[int]:
    present = _present(tokenizer)
    if present.chat_template is None:
        raise WrongUse(
            "run the model on chat messages",
            found="its tokenizer has no chat template",
            do="give a plain text",
        )
    text = present.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(present(str(text), add_special_tokens=False)["input_ids"])


def _present(tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedTokenizerBase:
    if tokenizer is None:
        raise WrongUse("run the model on text", found="it was opened without a tokenizer", do="give token ids instead")
    return tokenizer


def _pad_id(tokenizer: PreTrainedTokenizerBase | None) -> int:
    """Any id will do: padding is masked. The tokenizer's own keeps printed ids readable."""
    known = None if tokenizer is None else tokenizer.pad_token_id
    return known if isinstance(known, int) else 0
