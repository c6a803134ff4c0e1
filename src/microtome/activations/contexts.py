"""Contexts: documents as the token rows that a model reads, in batches of one length, from any point on."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, islice
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from transformers import PreTrainedTokenizerBase

from microtome.activations.config import ReadingConfig
from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.data.corpus import Corpus

BATCHES_IN_WINDOW = 128
CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Cursor(Config):
    """Where in the texts the next row comes from.

    Attributes:
        epoch: how often all texts have been read.
        document: the number of the first document of the window being read.
        batch: which of the window's batches comes next.
        row: how many of its rows were taken already.
    """

    epoch: int = 0
    document: int = 0
    batch: int = 0
    row: int = 0


@dataclass(frozen=True)
class Piece:
    """One row of tokens. All arrays are `[p]`.

    Attributes:
        ids: the tokens.
        document: the number of the document that each comes from.
        position: its place in that document, the tokens put before a text counted.
        special: whether it is a special token.
        first: whether it is left out as one of the first of its document or context.
        kept: whether its activations are.
    """

    ids: Int[np.ndarray, "p"]
    document: Int[np.ndarray, "p"]
    position: Int[np.ndarray, "p"]
    special: Bool[np.ndarray, "p"]
    first: Bool[np.ndarray, "p"]
    kept: Bool[np.ndarray, "p"]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ContextBatch:
    """Pieces that are run together."""

    pieces: tuple[Piece, ...]

    @property
    def ids(self) -> list[list[int]]:
        """The tokens of each piece."""
        return [piece.ids.tolist() for piece in self.pieces]

    @cached_property
    def kept(self) -> Bool[np.ndarray, "b p"]:
        """What is kept, with each piece's token 0 at position 0."""
        mask = np.zeros((len(self.pieces), max(map(len, self.pieces))), dtype=bool)
        for row, piece in zip(mask, self.pieces, strict=True):
            row[: len(piece)] = piece.kept
        return mask

    def of_kept(self, name: str) -> np.ndarray:
        """An array of the pieces at the tokens that are kept, piece after piece: `[t]`."""
        return np.concatenate([getattr(piece, name)[piece.kept] for piece in self.pieces])

    @property
    def left_out(self) -> Counter[str]:
        """How many tokens were run and are not kept, by reason."""
        special = sum(int((piece.special & ~piece.kept).sum()) for piece in self.pieces)
        first = sum(int((piece.first & ~piece.special).sum()) for piece in self.pieces)
        return Counter({"special": special, "first": first})


class Contexts:
    """The texts of a corpus as batches of contexts, always the same ones in the same order.

    Windows of documents are read one after another. The pieces of a window are mixed, then sorted by length, so that
    little is padded; its batches come in an order that the seed, the epoch and the window decide.

    Args:
        corpus: the texts.
        tokenizer: of the model; None raises.
        config: how they are read.

    Raises:
        WrongUse: there is no tokenizer, or the context has no room beside the tokens that it puts before a text.
    """

    def __init__(self, corpus: Corpus, tokenizer: PreTrainedTokenizerBase | None, config: ReadingConfig):
        if tokenizer is None:
            raise WrongUse(
                "read activations over texts",
                found="a model that was opened without a tokenizer",
                do="open it with its tokenizer: mt.open((module, tokenizer))",
            )
        self.corpus, self.tokenizer, self.config = corpus, tokenizer, config
        self._before = np.array(_before(tokenizer), dtype=np.int64)
        self._specials = np.array(sorted(tokenizer.all_special_ids), dtype=np.int64)
        if len(self._before) + 2 > config.context:
            raise WrongUse(
                "read activations over texts",
                found=f"context={config.context}, and the tokenizer puts {len(self._before)} tokens before a text",
                do=f"give a context of {len(self._before) + 2} or more",
            )

    def batches(self, start: Cursor, *, endless: bool = False) -> Iterator[tuple[Cursor, ContextBatch]]:
        """Every batch from a cursor on, with the cursor that leads to it.

        Args:
            start: where to begin; its `row` is passed on with its batch.
            endless: begin again after the last text.

        Raises:
            WrongUse: the texts give no token that is kept.
        """
        for epoch in count(start.epoch) if endless else [start.epoch]:
            found = False
            at = start if epoch == start.epoch else Cursor(epoch)
            for first, window in self._windows(at.document):
                batches = self._batches_of(first, window)
                order = np.random.default_rng([self.config.seed, epoch, first]).permutation(len(batches))
                begin = at.batch if first == at.document else 0
                for number in range(begin, len(batches)):
                    found = True
                    cursor = Cursor(epoch, first, number)
                    resumed = replace(start, row=0) == cursor
                    yield start if resumed else cursor, batches[order[number]]
            if not found and at == Cursor(epoch):
                raise WrongUse(
                    f"read activations over {self.corpus}",
                    found="no token that is kept: every text is empty or too short",
                    do="give longer texts, or keep special and first tokens (skip_special=False, skip_first=0)",
                )

    def _windows(self, start: int) -> Iterator[tuple[int, list[str]]]:
        enough = BATCHES_IN_WINDOW * self.config.batch_rows * self.config.context * CHARACTERS_A_TOKEN
        first = start
        held = []
        size = 0
        for text in islice(self.corpus.documents(), start, None):
            held.append(text)
            size += len(text)
            if size >= enough:
                yield first, held
                first += len(held)
                held = []
                size = 0
        if held:
            yield first, held

    def _batches_of(self, first: int, texts: Sequence[str]) -> list[ContextBatch]:
        encoded: Any = self.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        documents = [(first + i, np.array(ids, dtype=np.int64)) for i, ids in enumerate(encoded) if ids]
        pieces = self._packed(documents) if self.config.pack else self._apart(documents)
        pieces = [one for one in pieces if one.kept.any()]
        mixed = np.random.default_rng([self.config.seed, first]).permutation(len(pieces))  # of a long document too
        pieces = sorted((pieces[at] for at in mixed), key=len, reverse=True)
        most = self.config.batch_rows * self.config.context
        batches: list[ContextBatch] = []
        while pieces:
            rows = max(1, most // len(pieces[0]))
            batches.append(ContextBatch(tuple(pieces[:rows])))
            pieces = pieces[rows:]
        return batches

    def _apart(self, documents: Sequence[tuple[int, np.ndarray]]) -> Iterator[Piece]:
        before = len(self._before)
        for number, ids in documents:
            step = self.config.context - before
            for at in range(0, len(ids), step):
                body = ids[at : at + step]
                position = np.concatenate([np.arange(before), before + at + np.arange(len(body))])
                again = np.arange(len(position)) < (before if at else 0)
                yield self._piece(np.concatenate([self._before, body]), np.full(len(position), number), position, again)

    def _packed(self, documents: Sequence[tuple[int, np.ndarray]]) -> Iterator[Piece]:
        end = self.tokenizer.eos_token_id
        after = np.array([end] if isinstance(end, int) else [], dtype=np.int64)
        rows = [(number, np.concatenate([self._before, ids, after])) for number, ids in documents]
        if not rows:
            return
        ids = np.concatenate([one for _, one in rows])
        numbers = np.concatenate([np.full(len(one), number) for number, one in rows])
        positions = np.concatenate([np.arange(len(one)) for _, one in rows])
        for at in range(0, len(ids), self.config.context):
            cut = slice(at, at + self.config.context)
            yield self._piece(ids[cut], numbers[cut], positions[cut], np.zeros(len(ids[cut]), dtype=bool))

    def _piece(self, ids: np.ndarray, document: np.ndarray, position: np.ndarray, again: np.ndarray) -> Piece:
        """`again` marks tokens put before a later piece of a document: they stand in no text and are never kept."""
        special = np.isin(ids, self._specials)
        first = (np.arange(len(ids)) < self.config.skip_first) | (position < self.config.skip_first)
        kept = ~first & ~again & ~(special & self.config.skip_special)
        return Piece(ids, document, position, special, first, kept)


def _before(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The tokens that a tokenizer puts before a text."""
    plain: list[int] = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    whole: list[int] = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    at = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return whole[:at]
