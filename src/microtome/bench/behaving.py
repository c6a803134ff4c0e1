"""What a model loses when a reconstruction takes the place of what it reconstructs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.bench.config import MeasureConfig
from microtome.core.errors import WrongUse
from microtome.core.progress import track
from microtome.dictionary.dictionary import Dictionary
from microtome.metrics.cross_entropy import CrossEntropyAdded, CrossEntropyRecoveredMean, CrossEntropyRecoveredZero
from microtome.model.edits import Edit, set, splice
from microtome.model.inputs import Batch, to_batch
from microtome.model.model import Model

ROWS = 8


@dataclass(frozen=True, eq=False)
class Losses:
    """Cross-entropy of each next token, in nats, of one dictionary over all texts."""

    zero: CrossEntropyRecoveredZero
    mean: CrossEntropyRecoveredMean
    added: CrossEntropyAdded


def behave(
    dictionaries: Mapping[str, Dictionary],
    model: Model,
    texts: Iterable[str],
    means: Mapping[str, Float[Tensor, "_"]],
    config: MeasureConfig,
) -> dict[str, Losses]:
    """Losses with each dictionary in the model's place, beside the model's own and those of ablation.

    Position 0 is left as it is in all of them: dictionaries are trained without it, and a few of its numbers are
    larger than all else.

    Args:
        dictionaries: by name, all of which write the same sites.
        model: what reads the texts.
        texts: at least two tokens each; shorter ones are passed over.
        means: of each written site, what mean ablation puts there.
        config: how many texts, of how many tokens.

    Raises:
        WrongUse: no text has two tokens.
    """
    first = next(iter(dictionaries.values()))
    found = {
        name: Losses(CrossEntropyRecoveredZero(), CrossEntropyRecoveredMean(), CrossEntropyAdded())
        for name in dictionaries
    }
    rows = _rows(model, texts, config)
    if not rows:
        raise WrongUse("measure the cross-entropy", found="no text of two tokens", do="give texts to read")
    means = _in_shape(model, rows[0], {site: means[site] for site in first.writes})
    batches = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
    for number, ids in enumerate(track(batches, "reading texts")):
        batch = model.batch(ids)
        later = _later(batch)
        items = torch.arange(len(ids)) + number * ROWS
        document = torch.cat([item.repeat(len(row) - 1) for item, row in zip(items, ids, strict=True)])
        own = _losses(model, batch, [])
        zero = _losses(model, batch, [set(site, 0.0, where=later) for site in first.writes])
        mean = _losses(model, batch, [set(site, means[site], where=later) for site in first.writes])
        for name, dictionary in dictionaries.items():
            spliced = _losses(model, batch, [splice(dictionary, where=later, may_be_empty=True)])
            found[name].zero.add(own, spliced, zero, document)
            found[name].mean.add(own, spliced, mean, document)
            found[name].added.add(own, spliced, document)
    return found


def _in_shape(
    model: Model, row: Sequence[int], means: Mapping[str, Float[Tensor, "_"]]
) -> dict[str, Float[Tensor, "..."]]:
    """Means in the shape of their sites: what a store keeps side by side stands head by head in a model."""
    run = model.run([list(row)], capture=list(means))
    return {site: mean.view(run[site].shape[2:]) for site, mean in means.items()}


def _rows(model: Model, texts: Iterable[str], config: MeasureConfig) -> list[list[int]]:
    return list(_first(_encoded(model, texts, config.context), config.n_texts))


def _encoded(model: Model, texts: Iterable[str], context: int) -> Iterator[list[int]]:
    for text in texts:
        if text.strip():
            ids = list(to_batch(text, model.tokenizer, model.device).tokens[0][:context])  # a text may be longer
            if len(ids) > 1:
                yield ids


def _first(rows: Iterator[list[int]], n: int) -> Iterator[list[int]]:
    for row, _ in zip(rows, range(n), strict=False):
        yield row


def _later(batch: Batch) -> Bool[Tensor, "b p"]:
    """Every real token but the first."""
    lengths = torch.tensor(batch.lengths)
    position = torch.arange(int(lengths.max()))
    return ((position > 0) & (position < lengths[:, None])).to(batch.ids.device)


def _losses(model: Model, batch: Batch, edits: Sequence[Edit]) -> Float[Tensor, "t"]:
    """Of every next token, row after row."""
    logits = model.run(batch, capture=["logits"], edits=edits)["logits"].float()
    rows = [torch.tensor(row, device=logits.device) for row in batch.tokens]
    return torch.cat(
        [
            torch.nn.functional.cross_entropy(one[: len(row) - 1], row[1:], reduction="none")
            for one, row in zip(logits, rows, strict=True)
        ]
    ).cpu()
