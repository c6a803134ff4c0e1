"""Absorption: of classes of words that the model tells apart, how often another unit stands in for a class's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.bench.config import MeasureConfig
from microtome.bench.judging import measured
from microtome.bench.texts import ids_of, read_texts
from microtome.core.errors import WrongUse
from microtome.core.need import need
from microtome.dictionary.codes import Codes
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence.measurement import Measurement
from microtome.metrics.absorption import AbsorptionFraction, AbsorptionFull
from microtome.metrics.sparse_probing import SparseProbing
from microtome.model.model import Model

# SAEBench's: a class counts where its probe is good enough; main units are added while the probe gains so much.
LEAST_F1, LEAST_GAIN, MOST_MAIN = 0.6, 0.03, 5
LEAST = 10  # texts of a class


@dataclass(frozen=True, eq=False)
class Words:
    """The last tokens of the texts of all classes.

    Attributes:
        x: activations, `[t, d]`.
        classes: of each, `[t]`.
        tested: whether it lies in the half that no probe was fitted to, `[t]`.
    """

    x: Float[Tensor, "t d"]
    classes: Int[Tensor, "t"]
    tested: Bool[Tensor, "t"]


def absorbed(
    dictionary: Dictionary,
    model: Model,
    classes: Mapping[str, Iterable[str]],
    *,
    others: Mapping[str, Dictionary],
    config: MeasureConfig | None = None,
) -> dict[str, Measurement]:
    """How often units of a class of words fall silent because a more special unit took their place.

    At the last token of each text. A probe for each class is fitted to half of the texts, and its class counts where
    its F1 on the other half is 0.6 or more. Main units are those of a sparse probe on the first half, added while its
    balanced accuracy gains 0.03. On the second half's texts that the probe is right about, `absorption_full` and
    `absorption_fraction` (see there) say what stands in for them; means and intervals run over classes. Lower is
    better, and the nulls are other dictionaries on the same texts with the same probes: their rates are those of units
    that never were a class's own.

    Args:
        dictionary: of one site.
        model: that it belongs to.
        classes: by name, texts that end in a word of the class, at least ten of each; words of several tokens are read
            at their last.
        others: dictionaries of the same site to beat.
        config: `context`, `level` and `seed` are used.

    Raises:
        WrongUse: a dictionary of several sites, no null, too few texts, or no two classes that the model tells apart
            here.
        MissingPackage: scikit-learn is not installed (extra `probe`).
    """
    config = config or MeasureConfig()
    if not dictionary.geometry.autoencodes or len(dictionary.reads) != 1 or not others:
        found = f"units that read {', '.join(dictionary.reads[:3])}, and {len(others)} dictionaries to beat"
        raise WrongUse("measure absorption", found=found, do="give a dictionary of one site, and one to beat")
    words = _words(model, classes, dictionary.reads[0], config)
    probes = {number: _probe(words, number) for number in range(len(classes))}
    good = [number for number, (_, said) in probes.items() if _f1(said, words, number) >= LEAST_F1]
    if len(good) < 2:
        names = [name for number, name in enumerate(classes) if number in good]
        raise WrongUse(
            "measure absorption", found=f"probes tell {len(good)} of {len(classes)} classes apart {names}",
            do="give classes that the model knows at this site, or more texts of each",
        )  # fmt: skip
    right = torch.zeros(len(words.x), dtype=torch.bool)
    for number in good:
        right |= words.tested & (words.classes == number) & probes[number][1]
    place = {number: i for i, number in enumerate(good)}
    directions = torch.stack([probes[number][0] for number in good])
    numbers = torch.tensor([place[number] for number in words.classes[right].tolist()])
    found = {}
    for name, kind in (("absorption, full", AbsorptionFull), ("absorption, fraction", AbsorptionFraction)):
        metrics = {}
        for who, one in {"": dictionary, **others}.items():
            metrics[who] = kind(one.write_vectors(range(one.n_units)).squeeze(1), directions, _main(one, words, good))
            codes = one.encode(words.x[right])
            metrics[who].add(words.x[right], codes.ids, codes.values, codes.offsets, numbers)
        told = f"share, mean over {len(good)} of {len(classes)} classes, {int(right.sum())} words"
        found[name] = measured(name, metrics.pop(""), metrics, told, config, higher_is_better=False)
    return found


def _words(model: Model, classes: Mapping[str, Iterable[str]], site: str, config: MeasureConfig) -> Words:
    texts = [(text, number) for number, of in enumerate(classes.values()) for text in dict.fromkeys(of)]
    ids = ids_of(model, [text for text, _ in texts], config.context)
    kept = [i for i, row in enumerate(ids) if len(row) > 1]
    labels = torch.tensor([texts[i][1] for i in kept])
    counts = torch.bincount(labels, minlength=len(classes))
    if int(counts.min()) < LEAST:
        name = list(classes)[int(counts.argmin())]
        found = f"{int(counts.min())} texts of {name!r} with two tokens or more"
        raise WrongUse("measure absorption", found=found, do=f"give at least {LEAST} different texts of each class")
    x = torch.cat(
        [said.sites[site][said.last] for said in read_texts(model, [ids[i] for i in kept], [site], "reading words")]
    )
    rank = torch.from_numpy(np.random.default_rng(config.seed).permutation(len(labels)))
    tested = torch.zeros(len(labels), dtype=torch.bool)
    for number in range(len(classes)):
        mine = (labels == number).nonzero().flatten()
        tested[mine[rank[mine].argsort()][: len(mine) // 2]] = True
    return Words(x, labels, tested)


def _probe(words: Words, number: int) -> tuple[Float[Tensor, "d"], Bool[Tensor, "t"]]:
    """Its direction, and what it says of every word."""
    linear = need("sklearn.linear_model", extra="probe")
    scaling = need("sklearn.preprocessing", extra="probe")
    learned, wanted = ~words.tested, (words.classes == number).numpy()
    scaler = scaling.StandardScaler().fit(words.x[learned].double().numpy())
    features = scaler.transform(words.x.double().numpy())
    model = linear.LogisticRegression(C=1.0, max_iter=1000, class_weight="balanced")
    model.fit(features[learned.numpy()], wanted[learned.numpy()])
    direction = torch.from_numpy(model.coef_[0] / scaler.scale_).float()
    return direction, torch.from_numpy(model.predict(features)).bool()


def _f1(said: Bool[Tensor, "t"], words: Words, number: int) -> float:
    wanted = (words.classes == number)[words.tested]
    fired = said[words.tested]
    return float(2 * (fired & wanted).sum() / (fired.sum() + wanted.sum()))


def _main(dictionary: Dictionary, words: Words, good: list[int]) -> list[Int[Tensor, "m"]]:
    """The main units of each class, by a sparse probe on the first half that may read more units while it gains."""
    codes = dictionary.encode(words.x[~words.tested])
    return [_of_class(dictionary, codes, words.classes[~words.tested] == number) for number in good]


def _of_class(dictionary: Dictionary, codes: Codes, wanted: Bool[Tensor, "t"]) -> Int[Tensor, "m"]:
    best, units = -1.0, torch.zeros(0, dtype=torch.long)
    for k in range(1, min(MOST_MAIN, dictionary.n_units) + 1):
        metric = SparseProbing(dictionary.n_units, k)
        metric.add(codes.ids, codes.values, codes.offsets, torch.arange(len(wanted)), wanted)
        probe = metric.probe()
        if probe.accuracy < best + LEAST_GAIN:
            break
        best, units = probe.accuracy, torch.from_numpy(probe.units.copy())
    return units
