"""Measuring a dictionary: every figure that is offered as evidence beside what it has to beat."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from microtome.activations.store import ActivationStore
from microtome.bench.behaving import Losses, behave
from microtome.bench.config import MeasureConfig
from microtome.bench.further import Figure, Further
from microtome.bench.judging import measured
from microtome.bench.reconstructing import Figures, read
from microtome.core import fingerprint
from microtome.core.artefact import RunCard
from microtome.core.errors import SiteNotFound, WrongUse, nearest
from microtome.data.corpus import Corpus, corpus_of
from microtome.dictionary.baseline import beside
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.ledger import Page, page_of
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity
from microtome.model.model import Model

KIND, FORMAT = "measures", 1  # of what a run card of these figures is


def measure(
    dictionary: Dictionary,
    store: ActivationStore,
    *,
    model: Model | None = None,
    texts: "str | Path | Corpus | Iterable[str] | None" = None,
    nulls: Mapping[str, Dictionary] | None = None,
    config: MeasureConfig | None = None,
    ledger: Page | None = None,
    **further: Any,
) -> dict[str, Figure]:
    """What a dictionary reconstructs, and what a model makes of it, with intervals over documents.

    Args:
        dictionary: what is measured.
        store: activations of its sites, best of documents that it was not trained on (`store.split`).
        model: with `texts`, measures the cross-entropy that is recovered where it takes the model's own place; with
            `concepts` or `classes`, what its units tell.
        texts: a corpus, a path or texts, best none that it was trained on.
        nulls: dictionaries that were made for nothing else than to be beaten, by name, such as one with a frozen
            random decoder, trained as this one was. Where a dictionary reads and writes one site, those of
            `config.baselines` are made on the spot.
        config: see `MeasureConfig`.
        ledger: the page of the claim that this is evidence for: ledger["name"].
        **further: `control=`, `concepts=`, `classes=` and `reseeded=`: see `Further`.

    Returns:
        by name, measurements for what is evidence, quantities for counts and descriptions.

    Raises:
        SiteNotFound: the store lacks one of its sites.
        UnknownName: an argument that it does not have.
        WrongUse: nothing to beat, a model without anything for it to read, or the other way round.
    """
    config, asked, page = config or MeasureConfig(), Further.of(further), page_of("measure", {"ledger": ledger})
    _check(dictionary, store, model, {"texts": texts, **asked.read_by_a_model})
    own = read(dictionary, store, config)
    others = {**made_on_the_spot(dictionary, store, own.l0.value(), config), **(nulls or {})}
    if not others:
        raise WrongUse(
            f"measure {dictionary}", found="no null: baselines are made for units of one site",
            do="pass nulls=, such as the same dictionary trained with a frozen random decoder",
        )  # fmt: skip
    theirs = {name: read(one, store, config) for name, one in others.items()}
    found: dict[str, Figure] = {**_reconstruction(own, theirs, config), **_counts(own, config)}
    if model is not None and texts is not None:
        documents = corpus_of(texts).documents()
        losses = behave({"": dictionary, **others}, model, documents, store.means, config)
        found.update(_behaviour(losses, config))
    found.update(asked.measured(dictionary, model, others, config))
    if page is not None:
        given = {"texts": texts, "nulls": nulls, **further}
        page.record(*_by_kind(found), _card(dictionary, store, model, given, config).to_dict())
    return found


def _by_kind(found: Mapping[str, Figure]) -> tuple[tuple[Measurement, ...], tuple[Quantity, ...]]:
    figures = tuple(found.values())
    measurements = tuple(one for one in figures if isinstance(one, Measurement))
    return measurements, tuple(one for one in figures if isinstance(one, Quantity))


def _card(
    dictionary: Dictionary, store: ActivationStore, model: Model | None, given: Mapping[str, Any], config: MeasureConfig
) -> RunCard:
    """How the figures were made; of what was given beside dictionary and store, the names."""
    weights = fingerprint.of_module(dictionary)
    data = {
        "dictionary": {"is": str(dictionary), "weights": weights},
        "store": store.card,
        "beside": sorted(name for name, one in given.items() if one is not None),
    }
    return RunCard(KIND, FORMAT, config.seed, config.to_dict(), {} if model is None else model.card, data)


def made_on_the_spot(
    dictionary: Dictionary, store: ActivationStore, l0: float, config: MeasureConfig
) -> dict[str, Dictionary]:
    """Baselines at the dictionary's mean number of active units; none where it does not stand at one site."""
    geometry = dictionary.geometry
    if not geometry.autoencodes or len(geometry.reads) != 1:
        return {}
    few = torch.randperm(store.n_tokens, generator=torch.Generator().manual_seed(config.seed))[: config.fitted_on]
    x, k = store.rows(geometry.reads[0], few.sort().values), max(1, round(l0))
    return {name: beside(dictionary, name, k=k, x=x, seed=config.seed) for name in config.baselines}


def _check(dictionary: Dictionary, store: ActivationStore, model: Model | None, read: Mapping[str, Any]) -> None:
    reading = [name for name, one in read.items() if one is not None]
    if (model is None) != (not reading):
        raise WrongUse(
            f"measure {dictionary}",
            found=f"{' and '.join(reading)} without a model" if model is None else "a model without texts",
            do="give a model and texts, for the cross-entropy, or concepts or classes for it; or neither",
        )
    for site in dictionary.geometry.sites:
        if site not in store.widths:
            raise SiteNotFound(
                f"measure {dictionary}", found=nearest(site, store.widths), do="give a store that holds its sites"
            )


def _reconstruction(own: Figures, theirs: Mapping[str, Figures], config: MeasureConfig) -> dict[str, Measurement]:
    told = {"explained_variance": ("variance explained", "share"), "cosine": ("cosine", "mean cosine")}
    share = f"ordinary tokens ({own.n_ordinary / own.n_tokens:.1%} of all)"
    found = {}
    for key, (name, unit) in told.items():
        every = {null: figures.of_all[key] for null, figures in theirs.items()}
        found[name] = measured(name, own.of_all[key], every, unit, config)
        if own.n_ordinary:
            usual, some = f"{name}, ordinary tokens", {null: one.of_ordinary[key] for null, one in theirs.items()}
            found[usual] = measured(usual, own.of_ordinary[key], some, f"{unit}, {share}", config)
    return found


def _counts(own: Figures, config: MeasureConfig) -> dict[str, Quantity]:
    window = f"over {own.n_tokens:,} tokens"
    every = (
        Quantity("L0", own.l0.value(), "active units a token", window),
        Quantity("dead units", own.dead.value(), "share", f"that never fired {window}"),
        Quantity("dense units", own.dense.value(), "share", f"active on over {config.dense_above:.0%}, {window}"),
        *_shrinkage(own),
        Quantity("tokens", own.n_tokens, "tokens", "that were read"),
    )
    return {one.name: one for one in every}


def _shrinkage(own: Figures) -> tuple[Quantity, ...]:
    """None where the reconstruction has no part of what it reconstructs, such as that of a dictionary that is dead."""
    try:
        value = own.of_all["shrinkage"].value()
    except WrongUse:
        return ()
    return (Quantity("shrinkage", value, "E‖ŷ‖² / E[ŷ · y]", "1 is none, below 1 shrinks"),)


def _behaviour(losses: Mapping[str, Losses], config: MeasureConfig) -> dict[str, Figure]:
    own, theirs = losses[""], {name: one for name, one in losses.items() if name}
    zero, mean = ("cross-entropy recovered against zero ablation", "cross-entropy recovered against mean ablation")
    added = Quantity("cross-entropy added", own.added.value(), "nats a token", "by the reconstruction")
    return {
        zero: measured(zero, own.zero, {name: one.zero for name, one in theirs.items()}, "share", config),
        mean: measured(mean, own.mean, {name: one.mean for name, one in theirs.items()}, "share", config),
        added.name: added,
    }
