"""Rows: what a model holds at some sites for each token that is kept, taken as many at a time as are wanted."""

import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.activations.contexts import ContextBatch, Contexts, Cursor
from microtome.cluster.crew import ONE_PROCESS, Crew
from microtome.core.errors import CheckFailed, WrongUse
from microtome.model.certificate import WATCHING, relied_on
from microtome.model.model import Model

SAMPLE = 4096  # rows over which the median norm is taken


@dataclass(frozen=True)
class Rows:
    """Activations of some tokens.

    Attributes:
        values: of each site `[t, d]`, in the model's dtype.
        squares: of each site ‖x‖², `[t]`.
        document: the number of each token's document, `[t]`.
        position: its place there, `[t]`.
        token: its id, `[t]`.
        special: whether it is a special one, `[t]`.
    """

    values: dict[str, Float[Tensor, "t _"]]
    squares: dict[str, Float[Tensor, "t"]]
    document: Int[Tensor, "t"]
    position: Int[Tensor, "t"]
    token: Int[Tensor, "t"]
    special: Bool[Tensor, "t"]

    def __len__(self) -> int:
        return len(self.document)

    def take(self, which: slice | Bool[Tensor, "t"]) -> "Rows":
        """Some of them."""
        return Rows(
            {site: one[which] for site, one in self.values.items()},
            {site: one[which] for site, one in self.squares.items()},
            self.document[which],
            self.position[which],
            self.token[which],
            self.special[which],
        )


def widths_of(model: Model, sites: Sequence[str]) -> dict[str, int]:
    """The sites that patterns name, in forward order of asking, and their widths; heads lie side by side.

    Raises:
        SiteNotFound: a site does not exist.
        WrongUse: no site, one that has no fixed width for each token, or a model under edits.
        CheckFailed: the certificate found that what is watched is not what the model does.
    """
    patterns = [sites] if isinstance(sites, str) else list(sites)
    if not patterns:
        raise WrongUse("read activations", found="no site", do="name one, such as resid.15")
    if model.edited:
        raise WrongUse(
            "read activations", found="a model with edits in force", do="leave `with model.edit(…)` before: a run card "
            "could not tell them"
        )  # fmt: skip
    relied_on(model.certificate, WATCHING, "read activations")
    run = model.run([[0, 0]], capture=patterns)
    for site, tensor in run.items():
        if len(model.site(site).kind.position_axes) > 1 or tensor.shape[:2] != (1, 2):
            raise WrongUse(
                f"read activations at {site}",
                found=f"a tensor of shape {list(tensor.shape)} for two tokens",
                do="name sites that hold one vector for each token, such as resid.15 or attn.heads.3",
            )
    return {site: tensor[0, 0].numel() for site, tensor in run.items()}


@dataclass(eq=False)
class _Part:
    """A batch that was run, and what of it was not taken yet.

    Attributes:
        cursor: that leads to it.
        by: the process that ran it.
        rows: how many are left.
        out: how many tokens were run and not kept, by reason.
        held: the rows, where this process ran it.
    """

    cursor: Cursor
    by: int
    rows: int
    out: Counter[str]
    held: Rows | None

    def take(self, n: int) -> Rows | None:
        """The first n of the rows that are left, if they are here."""
        self.rows -= n
        if self.held is None:
            return None
        found = self.held.take(slice(n))
        self.held = self.held.take(slice(n, None))
        return found


class Taking:
    """Runs a model over contexts from a cursor on and gives its rows.

    Several processes run a batch each in turn. All of them know of every batch how many rows it gave, so that rows are
    numbered, and cursors are, as if one process had run them all.

    Attributes:
        cursor: where the next row comes from.
        left_out: how many tokens were run so far and not given, by reason.
        taken: how many rows all processes gave together.
        ended: whether rows were wanted when there were no more texts.
    """

    def __init__(
        self, model: Model, contexts: Contexts, sites: Sequence[str], limits: Mapping[str, float],
        start: Cursor | None = None, *, endless: bool = False, crew: Crew = ONE_PROCESS,
    ):  # fmt: skip
        self.cursor = start or Cursor()
        self.left_out = Counter[str]()
        self.taken = 0
        self.ended = False
        self._model = model
        self._sites = list(sites)
        self._limits = limits
        self._crew = crew
        self._batches = contexts.batches(self.cursor, endless=endless)
        self._waiting = deque[_Part]()
        self._now: _Part | None = None

    def take(self, n: int, room: int = sys.maxsize) -> Iterator[Rows]:
        """Of the next `n` rows those that this process ran, in parts as they come.

        There are fewer where the texts end, or where one of the processes has given as many as it has room for.
        """
        given = Counter[int]()
        while n > 0:
            if self._now is None or not self._now.rows:
                self._now = self._following()
                if self._now is None:
                    self.ended = True
                    return
            now = self._now
            size = min(n, now.rows, room - given[now.by])
            part = now.take(size)
            self.cursor = replace(self.cursor, row=self.cursor.row + size)
            self.taken += size
            given[now.by] += size
            n -= size
            if part is not None and size:
                yield part
            if given[now.by] == room:
                return

    def _following(self) -> _Part | None:
        if not self._waiting:
            self._waiting.extend(self._round())
        if not self._waiting:
            return None
        found = self._waiting.popleft()
        self.cursor = found.cursor
        if not found.cursor.row:  # a batch that was begun before was counted before
            self.left_out += found.out
        return found

    def _round(self) -> Iterator[_Part]:
        """The next batches, one for each process."""
        batches = list(islice(self._batches, self._crew.ranks))
        rank = self._crew.rank
        rows, out = self._run(*batches[rank]) if rank < len(batches) else (None, Counter[str]())
        sizes = self._crew.gathered([0 if rows is None else len(rows), out])
        for by, ((cursor, _), (size, outs)) in enumerate(zip(batches, sizes, strict=False)):
            yield _Part(cursor, by, size, Counter(outs), rows if by == rank else None)

    def _run(self, cursor: Cursor, batch: ContextBatch) -> tuple[Rows, Counter[str]]:
        rows = captured(self._model, batch, self._sites)
        out = batch.left_out
        kept = torch.ones(len(rows), dtype=torch.bool)
        for site, limit in self._limits.items():
            large = rows.squares[site].cpu() > limit**2
            out[f"large at {site}"] = int(large.sum())
            kept &= ~large
        return rows.take(kept).take(slice(cursor.row, None)), out


def captured(model: Model, batch: ContextBatch, sites: Sequence[str]) -> Rows:
    """Runs one batch, up to the last of the sites.

    Raises:
        CheckFailed: a value is not finite.
    """
    run = model.run(batch.ids, capture=sites)
    kept = torch.from_numpy(batch.kept).to(model.device)
    values = {site: run[site].flatten(2)[kept] for site in sites}
    squares = {site: one.float().square().sum(1) for site, one in values.items()}
    for site, one in squares.items():
        if not bool(one.isfinite().all()):
            raise CheckFailed(
                f"read activations at {site}",
                found=f"{int((~one.isfinite()).sum())} of {len(one)} rows are not finite",
                do="open the model in float32 or bfloat16: float16 overflows",
            )
    document, position, token, special = (
        torch.from_numpy(batch.of_kept(name)) for name in ("document", "position", "ids", "special")
    )
    return Rows(values, squares, document, position, token, special)


def limits(model: Model, contexts: Contexts, sites: Sequence[str]) -> dict[str, float]:
    """The largest norm that is kept at each site: `norm_limit` times the median of the first rows; {} without one."""
    multiple = contexts.config.norm_limit
    if multiple is None:
        return {}
    parts = list(Taking(model, contexts, sites, {}).take(SAMPLE))
    return {site: multiple * float(torch.cat([one.squares[site] for one in parts]).sqrt().median()) for site in sites}
