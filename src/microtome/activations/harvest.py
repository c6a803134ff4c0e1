"""Harvesting: a model's activations over many texts, put on the disk shard by shard."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from microtome.activations.config import HarvestConfig
from microtome.activations.contexts import Contexts
from microtome.activations.manifest import FORMAT, NAME, Manifest, ShardRecord
from microtome.activations.rows import Taking, limits, widths_of
from microtome.activations.shards import FILES, Draft, rows_of_shard
from microtome.activations.store import ActivationStore, open_store
from microtome.cluster.crew import Crew, crew
from microtome.core.artefact import RunCard, writable
from microtome.core.errors import WrongUse
from microtome.core.progress import working
from microtome.data.corpus import Corpus, corpus_of
from microtome.model.model import Model


def harvest(
    model: Model,
    texts: str | Path | Corpus | Iterable[str],
    sites: Sequence[str],
    *,
    tokens: int | None = None,
    out: str | Path = "store",
    config: HarvestConfig | None = None,
) -> ActivationStore:
    """Runs a model over texts and keeps its activations at some sites in a folder, several sites from one pass.

    Killed at any moment, what the manifest names stays whole, and the same call goes on from there: the rows are
    those of a harvest that was never interrupted. With more `tokens` it appends. Started by torchrun, each process runs
    a part of the batches and writes shards of its own: the same rows, in another order.

    Args:
        model: with its tokenizer; without edits. Each pass ends after the last of the sites.
        texts: a file or folder, the name of a corpus, texts, or a `Corpus`.
        sites: patterns of sites that hold one vector for each token.
        tokens: how many rows to keep; None for all that the texts give.
        out: folder of the store.
        config: how texts are read and rows are kept; None for `HarvestConfig()`.

    Raises:
        WrongUse: the folder holds a store that was made otherwise, or something else; nothing to keep; a site
            without one vector for each token.
        SiteNotFound: a site does not exist.
        StoreCorrupt: a shard that the manifest names is not whole.
        CheckFailed: an activation is not finite.
    """
    folder = Path(out)
    config = config or HarvestConfig()
    if tokens is not None and tokens < 1:
        raise WrongUse("harvest activations", found=f"tokens={tokens}", do="ask for one or more, or leave it out")
    read = corpus_of(texts)
    widths = widths_of(model, sites)
    card = RunCard("activations", FORMAT, config.seed, config.to_dict(), model.card, read.card)
    fresh = Manifest(card.to_dict(), widths, {})
    contexts = Contexts(read, model.tokenizer, config)
    with crew() as everyone:
        manifest = _begun(folder, fresh, everyone)
        if manifest is None:
            found = everyone.gathered(limits(model, contexts, list(widths)))[0]
            manifest = _kept(replace(fresh, limits=found), folder, everyone)
        if not manifest.complete and (tokens is None or manifest.n_tokens < tokens):
            start = manifest.cursor
            taking = Taking(model, contexts, list(widths), manifest.limits, start, crew=everyone)
            _go_on(taking, manifest, folder, tokens, everyone)
        everyone.wait()  # until the first has written what the others read
    return open_store(folder)


def _kept(manifest: Manifest, folder: Path, everyone: Crew) -> Manifest:
    if everyone.leads:
        manifest.save(folder)
    return manifest


def _begun(folder: Path, fresh: Manifest, everyone: Crew) -> Manifest | None:
    """The manifest of what stands in the folder already, if it is the same store; leftovers of a kill are removed."""
    writable(folder / NAME)
    if not (folder / NAME).exists():
        strangers = [one.name for one in folder.iterdir() if not one.name.endswith(".part")] if folder.exists() else []
        if strangers:
            raise WrongUse(
                f"harvest into {folder}",
                found=f"a folder that is no store; in it {strangers[0]!r}",
                do="name a new or an empty folder",
            )
    found = Manifest.load(folder) if (folder / NAME).exists() else None
    if found is not None:
        found.check_same(fresh, folder)
        open_store(folder)  # every shard that it names is there
    everyone.wait()  # all have looked before anything is written
    if everyone.leads:
        _clear(folder, found)
    everyone.wait()
    return found


def _clear(folder: Path, manifest: Manifest | None) -> None:
    """Removes files half-written, and shards that were written and not named."""
    named = set() if manifest is None else {shard.name for shard in manifest.shards}
    shards = {path for path in folder.glob(FILES) if path.name not in named}
    for left in (*folder.glob(".*.part"), *shards):
        left.unlink(missing_ok=True)


def _go_on(taking: Taking, manifest: Manifest, folder: Path, tokens: int | None, everyone: Crew) -> None:
    """Adds shards until there are enough rows, or no more texts.

    A process whose shard is full makes all of them write theirs: then one cursor says where everyone goes on.
    """
    config = manifest.config
    counted = Counter(manifest.left_out)
    capacity = rows_of_shard(manifest.sites, config.dtype, config.shard_bytes)
    draft = Draft(manifest.sites, config.dtype, capacity)
    shown = 0
    with working("harvesting", tokens) as step:
        step(manifest.n_tokens)
        while not manifest.complete and (tokens is None or manifest.n_tokens < tokens):
            wanted = sys.maxsize if tokens is None else tokens - manifest.n_tokens
            for rows in taking.take(wanted, room=capacity):
                draft.add(rows)
                step(taking.taken - shown)
                shown = taking.taken
            records = _written(draft, folder, len(manifest.shards), everyone)
            left_out = dict(sorted((counted + taking.left_out).items()))
            manifest = replace(
                manifest, shards=(*manifest.shards, *records), cursor=taking.cursor, left_out=left_out,
                complete=taking.ended,
            )  # fmt: skip
            _kept(manifest, folder, everyone)  # from here on the shards exist
        step(taking.taken - shown)


def _written(draft: Draft, folder: Path, number: int, everyone: Crew) -> list[ShardRecord]:
    """Every process's shard, where it has rows; the first of them has this number."""
    sizes = everyone.gathered(draft.rows)
    number += sum(size > 0 for size in sizes[: everyone.rank])
    own = asdict(draft.write(folder, number)) if draft.rows else None
    return [ShardRecord(**one) for one in everyone.gathered(own) if one is not None]
