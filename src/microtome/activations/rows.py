"""Rows: what a model holds at some sites for each token that is kept, taken as many at a time as are wanted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.activations.contexts import ContextBatch, Contexts, Cursor
from microtome.core.errors import CheckFailed, WrongUse
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
    """
    patterns = [sites] if isinstance(sites, str) else list(sites)
    if not patterns:
        raise WrongUse("read activations", found="no site", do="name one, such as resid.15")
    if model.edited:
        raise WrongUse(
            "read activations", found="a model with edits in force", do="leave `with model.edit(…)` before: a run card "
            "could not tell them"
        )  # fmt: skip
    run = model.run([[0, 0]], capture=patterns)
    for site, tensor in run.items():
        if len(model.site(site).kind.position_axes) > 1 or tensor.shape[:2] != (1, 2):
            raise WrongUse(
                f"read activations at {site}",
                found=f"a tensor of shape {list(tensor.shape)} for two tokens",
                do="name sites that hold one vector for each token, such as resid.15 or attn.heads.3",
            )
    return {site: tensor[0, 0].numel() for site, tensor in run.items()}


class Taking:
    """Runs a model over contexts from a cursor on and gives its rows.

    Attributes:
        cursor: where the next row comes from.
        left_out: how many tokens were run so far and not given, by reason.
    """

    def __init__(
        self,
        model: Model,
        contexts: Contexts,
        sites: Sequence[str],
        limits: Mapping[str, float],
        start: Cursor | None = None,
        *,
        endless: bool = False,
    ):
        self.cursor, self.left_out = start or Cursor(), Counter[str]()
        self._model, self._sites, self._limits = model, list(sites), limits
        self._batches = contexts.batches(self.cursor, endless=endless)
        self._rest: Rows | None = None

    def take(self, n: int) -> Iterator[Rows]:
        """The next `n` rows, in parts as they come; fewer where the texts end."""
        while n > 0:
            if self._rest is None or not len(self._rest):
                following = next(self._batches, None)
                if following is None:
                    return
                self._rest = self._run(*following)
            part = self._rest.take(slice(n))
            self._rest = self._rest.take(slice(n, None))
            self.cursor = replace(self.cursor, row=self.cursor.row + len(part))
            n -= len(part)
            if len(part):
                yield part

    def _run(self, cursor: Cursor, batch: ContextBatch) -> Rows:
        rows = captured(self._model, batch, self._sites)
        out = batch.left_out
        kept = torch.ones(len(rows), dtype=torch.bool)
        for site, limit in self._limits.items():
            large = rows.squares[site].cpu() > limit**2
            out[f"large at {site}"] = int(large.sum())
            kept &= ~large
        if not cursor.row:  # a batch that was begun before was counted before
            self.left_out += out
        self.cursor = cursor
        return rows.take(kept).take(slice(cursor.row, None))


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
