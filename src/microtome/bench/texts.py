"""Texts run through a model for what dictionaries read of them, some rows at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.core.progress import track
from microtome.dictionary.codes import Codes
from microtome.dictionary.dictionary import Dictionary
from microtome.model.inputs import to_batch
from microtome.model.model import Model

ROWS = 8


@dataclass(frozen=True, eq=False)
class Said:
    """Tokens of some texts; the first of each is left out, as dictionaries are trained without it.

    Attributes:
        sites: activations `[t, d]` by site.
        texts: the number of each token's text, `[t]`.
        last: whether it is its text's last, `[t]`.
    """

    sites: dict[str, Float[Tensor, "t _"]]
    texts: Int[Tensor, "t"]
    last: Bool[Tensor, "t"]

    def codes(self, dictionary: Dictionary) -> Codes:
        """What a dictionary makes of them."""
        x = torch.stack([self.sites[site] for site in dictionary.reads], 1)
        return dictionary.encode(x.squeeze(1) if len(dictionary.reads) == 1 else x)


def ids_of(model: Model, texts: Sequence[str], context: int) -> list[list[int]]:
    """The first tokens of each text."""
    return [list(to_batch(text, model.tokenizer, model.device).tokens[0][:context]) for text in texts]


def read_texts(model: Model, rows: Sequence[Sequence[int]], sites: Sequence[str], what: str) -> Iterator[Said]:
    """Runs the model over rows of at least two tokens each; `what` is said of the progress."""
    starts = range(0, len(rows), ROWS)
    for start in track(starts, what):
        batch = model.batch([list(row) for row in rows[start : start + ROWS]])
        run = model.run(batch, capture=list(sites))
        lengths = torch.tensor(batch.lengths)
        position = torch.arange(int(lengths.max()))
        kept = (position > 0) & (position < lengths[:, None])
        text, place = kept.nonzero(as_tuple=True)
        taken = {site: run[site].float().cpu()[text, place].flatten(1) for site in sites}  # heads lie side by side
        yield Said(taken, text + start, place == lengths[text] - 1)
