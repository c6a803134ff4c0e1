"""A stream: batches straight from a model that runs as they are needed, shuffled in memory, nothing on the disk."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.activations.coding import Coded, coded, room, row_bytes
from microtome.activations.config import StreamConfig
from microtome.activations.contexts import Contexts, Cursor
from microtome.activations.rows import Taking, limits, widths_of
from microtome.core import fingerprint
from microtome.core.errors import SiteNotFound, WrongUse
from microtome.core.progress import working
from microtome.data.corpus import Corpus, corpus_of
from microtome.evidence.quantity import Quantity
from microtome.model.model import Model

DTYPE = "bfloat16"


class Stream:
    """A `BatchSource` that runs the model over texts, again and again.

    The buffer holds three hands of rows. A helping of texts fills two of them; it is dealt at random into a hand that
    is given out now, mixed with the second hand of the helping before, and one that waits for the helping after. So a
    batch mixes neighbouring helpings, and yet what the buffer holds depends on two helpings alone: the state is the
    places in the text where these began and how many rows were given since. To go on from it, they are run again.

    Args:
        model: with its tokenizer; without edits.
        texts: a file or folder, the name of a corpus, texts, or a `Corpus`.
        sites: patterns of sites that hold one vector for each token.
        config: how texts are read and rows are shuffled; None for `StreamConfig()`.

    Raises:
        SiteNotFound: a site does not exist.
        WrongUse: texts without tokens to keep, a site without one vector for each token, or a buffer too small.
    """

    def __init__(
        self,
        model: Model,
        texts: str | Path | Corpus | Iterable[str],
        sites: Sequence[str],
        config: StreamConfig | None = None,
    ):
        self._model = model
        self.config = config or StreamConfig()
        self._corpus = corpus_of(texts)
        self._contexts = Contexts(self._corpus, model.tokenizer, self.config)
        self._widths = widths_of(model, sites)
        row = sum(row_bytes(width, DTYPE) for width in self._widths.values())
        self._hand = min(self.config.buffer_rows, self.config.buffer_bytes // row) // 3
        if not self._hand:
            raise WrongUse(
                f"stream {len(self._widths)} sites",
                found=f"buffer_bytes={self.config.buffer_bytes:,}, and one token takes {row:,}",
                do=f"give at least {3 * row:,}, and a thousand times that to shuffle well",
            )
        self._buffer = {site: room(3 * self._hand, width, DTYPE) for site, width in self._widths.items()}
        self._limits: dict[str, float] | None = None
        self._norms: dict[str, float] = {}
        self._taking: Taking | None = None
        self._left_before: Counter[str] = Counter()
        self._begin(-1, (Cursor(), Cursor()))

    @property
    def widths(self) -> Mapping[str, int]:
        """The width d of every site on offer."""
        return self._widths

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² at every site, over the first helping of texts: two thirds of the buffer."""
        self._start()
        return self._norms

    @property
    def buffer(self) -> Quantity:
        """The memory that the buffer takes."""
        size = sum(one.bytes for one in self._buffer.values())
        return Quantity("buffer", size, "bytes", f"{3 * self._hand:,} tokens at {len(self._widths)} sites")

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the data."""
        self._start()
        return {
            "fingerprint": self._identity(),
            "texts": self._corpus.card,
            "model": self._model.card,
            "config": self.config.to_dict(),
            "left_out": dict(sorted(self._left_out().items())),
            "limits": self._limits,
            "mean_squared_norms": dict(self._norms),
        }

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Float[Tensor, "t d"]]:
        """The next `size` rows at these sites, in float32; the texts begin anew when they end.

        Raises:
            SiteNotFound: a site is not on offer.
        """
        for site in sites:
            if site not in self._widths:
                raise SiteNotFound(
                    f"take a batch at {site!r}",
                    found=f"a stream of {', '.join(self._widths)}",
                    do="name the site when the stream is made",
                )
        self._start()
        parts: dict[str, list[Tensor]] = {site: [] for site in sites}
        while size:
            if self._offset == len(self._order):
                self._help()
            at = self._order[self._offset : self._offset + size]
            for site, found in parts.items():
                found.append(self._buffer[site].take(at).decoded())
            self._offset += len(at)
            size -= len(at)
        return {site: found[0] if len(found) == 1 else torch.cat(found) for site, found in parts.items()}

    def state(self) -> dict[str, Any]:
        """Where it stands: a few numbers."""
        self._start()
        return {
            "of": self._identity(),
            "helping": self._helping,
            "offset": self._offset,
            "began": [cursor.to_dict() for cursor in self._began],
            "limits": dict(self._limits or {}),
            "mean_squared_norms": dict(self._norms),
            "left_out": dict(self._left_out()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state that an equal stream gave; runs the model to fill the buffer again.

        Raises:
            WrongUse: it is the state of another stream.
        """
        if state.get("of") != self._identity():
            raise WrongUse(
                f"go on with streaming {self._corpus}",
                found="the state of a stream with another model, other texts, sites or settings",
                do="make the stream as before",
            )
        self._limits = dict(state["limits"])
        self._norms = dict(state["mean_squared_norms"])
        helping = state["helping"]
        began = tuple(Cursor.from_dict(one) for one in state["began"])
        if helping == 0:
            self._begin(-1, (began[1], began[1]))
        else:
            self._begin(helping - 2, (began[0], began[0]))
            self._help()
        self._help()
        self._offset = state["offset"]
        self._left_before = Counter(state["left_out"]) - self._running.left_out

    def _identity(self) -> str:
        said = [self._model.card["fingerprint"], self._model.card["dtype"], self._corpus.fingerprint]
        return fingerprint.of_value([*said, self._widths, self.config.to_dict()])

    def _left_out(self) -> Counter[str]:
        return self._left_before + self._running.left_out

    def _begin(self, helping: int, began: tuple[Cursor, Cursor]) -> None:
        """Forgets the buffer; the next helping comes from the second cursor."""
        self._helping = helping
        self._began = began
        self._offset = 0
        self._taking = None
        self._left_before = Counter()
        self._order = torch.empty(0, dtype=torch.long)
        self._waiting = torch.empty(0, dtype=torch.long)

    @property
    def _running(self) -> Taking:
        """The model at work, from the second cursor on when it begins."""
        if self._taking is None:
            if self._limits is None:
                self._limits = limits(self._model, self._contexts, list(self._widths))
            sites = list(self._widths)
            self._taking = Taking(self._model, self._contexts, sites, self._limits, self._began[1], endless=True)
        return self._taking

    def _start(self) -> None:
        if self._helping < 0:
            self._help()

    def _help(self) -> None:
        """Fills the slots of the rows that were given, and deals what came into two hands."""
        free = torch.ones(3 * self._hand, dtype=torch.bool)
        free[self._waiting] = False
        slots = free.nonzero().flatten()[: 2 * self._hand]
        cursor = self._running.cursor
        self._fill(slots)
        self._helping += 1
        self._began = (self._began[1], cursor)
        self._offset = 0
        if self._helping == 0:
            self._norms = {site: self._mean_square(one, slots) for site, one in self._buffer.items()}
        deal = slots[self._drawn(0, len(slots))]
        pool = torch.cat([self._waiting, deal[: self._hand]])
        self._order = pool[self._drawn(1, len(pool))]
        self._waiting = deal[self._hand :]

    def _fill(self, slots: Int[Tensor, "t"]) -> None:
        at = 0
        with working("running the model over texts", len(slots)) as step:
            for rows in self._running.take(len(slots)):
                into = slots[at : at + len(rows)]
                for site, values in rows.values.items():
                    self._buffer[site].put(into, coded(values.cpu(), DTYPE))
                at += len(rows)
                step(len(rows))

    def _mean_square(self, kept: Coded, slots: Int[Tensor, "t"]) -> float:
        """E‖x‖², a part at a time, so that no copy of the buffer is made."""
        return sum(float(kept.take(part).decoded().square().sum()) for part in slots.split(4096)) / len(slots)

    def _drawn(self, which: int, n: int) -> Int[Tensor, "t"]:
        return torch.from_numpy(np.random.default_rng([self.config.seed, self._helping, which]).permutation(n))
