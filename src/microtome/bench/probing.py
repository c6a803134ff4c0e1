"""Whether a few units tell concepts that people named: sparse probing on labelled texts, with its nulls."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from microtome.bench.config import MeasureConfig
from microtome.bench.judging import measured
from microtome.bench.texts import ids_of, read_texts
from microtome.core.errors import WrongUse
from microtome.data.labelled import Labelled, Pairs, labelled
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import Null
from microtome.metrics.metric import PerItem
from microtome.metrics.sparse_probing import Probe, SparseProbing, probe_of_words
from microtome.model.model import Model

LEAST = 10  # texts of each class


class OfWords:
    """What a classifier on the text alone scores on the same documents."""

    def __init__(self, probe: Probe):
        self._probe = probe

    def per_item(self) -> PerItem:
        """Documents, as `SparseProbing` has them."""
        return PerItem(self._probe.tested, self._probe.right * self._probe.weights, self._probe.weights)


def probe(
    dictionary: Dictionary,
    model: Model,
    concepts: Mapping[str, str | Pairs],
    *,
    others: Mapping[str, Dictionary] | None = None,
    config: MeasureConfig | None = None,
) -> dict[str, Measurement]:
    """How well a logistic probe on one unit, and on five, tells texts of a concept from others.

    Balanced accuracy on held-out texts, with an interval over them. Its nulls: shuffled labels, units chosen anew each
    time; the same number of units of each other dictionary; and all the words of the text, without any model.

    Args:
        dictionary: whose units are probed.
        model: that it belongs to.
        concepts: by name, pairs of a text and whether it has the concept, or a set of `sae-probes` by its name.
        others: dictionaries to beat, such as raw neurons and random directions.
        config: `probe_units`, `n_labelled`, `draws`, `context`, `level` and `seed` are used.

    Returns:
        `sparse probing (k=1): NAME` and `sparse probing (k=5): NAME` for each concept.

    Raises:
        WrongUse: too few texts of a class.
        UnknownName, NotFound: there is no such set.
        MissingPackage: scikit-learn is not installed (extra `probe`).
    """
    config = config or MeasureConfig()
    found: dict[str, Measurement] = {}
    for name, given in concepts.items():
        texts = labelled(name, given).few(config.n_labelled, config.seed)
        found.update(_probed(texts, dictionary, model, dict(others or {}), config))
    return found


def _probed(
    texts: Labelled, dictionary: Dictionary, model: Model, others: dict[str, Dictionary], config: MeasureConfig
) -> dict[str, Measurement]:
    ids = ids_of(model, texts.texts, config.context)
    kept = [i for i, row in enumerate(ids) if len(row) > 1]
    labels = torch.tensor([texts.labels[i] for i in kept])
    if min(int(labels.sum()), int((~labels).sum())) < LEAST:
        found = f"{int(labels.sum())} texts with it and {int((~labels).sum())} without, of two tokens or more"
        raise WrongUse(f"probe for {texts.name!r}", found=found, do=f"give at least {LEAST} texts of each")
    asked = {"": dictionary, **others}
    metrics = {
        who: {k: SparseProbing(one.n_units, k, config.seed) for k in config.probe_units if k <= one.n_units}
        for who, one in asked.items()
    }
    sites = list(dict.fromkeys(site for one in asked.values() for site in one.reads))
    for said in read_texts(model, [ids[i] for i in kept], sites, f"reading texts for {texts.name}"):
        for who, one in asked.items():
            codes = said.codes(one)
            for metric in metrics[who].values():
                metric.add(codes.ids, codes.values, codes.offsets, said.texts, labels[said.texts])
    words = probe_of_words([texts.texts[i] for i in kept], labels.numpy(), config.seed)
    found = {}
    for k, own in metrics[""].items():
        name = f"sparse probing (k={k}): {texts.name}"
        theirs = {who: of[k] for who, of in metrics.items() if who and k in of}
        told = measured(name, own, {**theirs, "words alone": OfWords(words)}, "balanced accuracy", config)
        shuffled = Null.against("shuffled labels", told.value, own.shuffled(range(config.draws)))
        found[name] = replace(told, nulls=(shuffled, *told.nulls))
    return found
