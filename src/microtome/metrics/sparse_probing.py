"""Sparse probing: how well a concept can be read from one unit, or from a few."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.core.need import need
from microtome.metrics.codes import active
from microtome.metrics.metric import Metric, PerItem, metric
from microtome.metrics.pooling import Pooled

TRAIN_SHARE = 0.8


class Probe(NamedTuple):
    """A probe on a few units, and what it said of documents that it had not seen.

    Attributes:
        units: those it reads, the largest difference first, [k].
        tested: rows of the documents it was tested on, [i].
        right: whether it was right on each, [i].
        weights: of each, so that both classes weigh the same, [i].
    """

    units: Int[np.ndarray, " k"]
    tested: Int[np.ndarray, " i"]
    right: Bool[np.ndarray, " i"]
    weights: Float[np.ndarray, " i"]

    @property
    def accuracy(self) -> float:
        """Balanced accuracy."""
        return float(self.right @ self.weights / self.weights.sum())


@metric(summary="balanced accuracy of a logistic probe on the k units that tell two classes apart best")
class SparseProbing(Metric):
    """Balanced accuracy, on held-out documents, of a logistic regression on k units.

        units   = the k with the largest |mean over positive − mean over negative| training documents
        value   = mean of the two classes' shares of held-out documents that the probe gets right

    A document's activations are means over its tokens; 80% of each class are for training, the choice of units
    included. Each unit is divided by its deviation over them, so that the probe does not depend on its scale (the
    choice does). Regression as in SAEBench (Karvonen et al. 2025, arXiv:2503.09532): L2 with C = 1, classes weighted
    evenly. On even classes balanced accuracy is accuracy, and on others a probe that always says the same has 0.5.

    Unit: none. Range: [0, 1]; 0.5 is chance. Higher is better.

    When it misleads:
        - Words give classes away. Compare with the same k of raw neurons and with a classifier on the text alone:
          `shuffled` says only that the labels matter.
        - With many units and few documents the choice finds luck; the held-out documents and `shuffled` show it.
        - A concept that is split over more than k units scores low and is no less represented.

    The name carries k: `sparse_probing_1`. scikit-learn comes with the extra `probe`.

    Args:
        n_units: how many units the dictionary has.
        k: units the probe may read.
        seed: of the split into training and held-out documents.

    Raises:
        WrongUse: k is not in 1 … n_units.
    """

    name, unit, better, best = "sparse_probing", "1", "higher", 1.0

    def __init__(self, n_units: int, k: int = 1, seed: int = 0):
        if not 1 <= k <= n_units:
            raise WrongUse("probe with few units", found=f"{k} of {n_units} units", do="give 1 ≤ k ≤ n_units")
        self.name = f"sparse_probing_{k}"
        self.n_units, self.k, self.seed = n_units, k, seed
        self._pooled = Pooled(self.name, n_units)

    def add(
        self,
        ids: Int[Tensor, " n"],
        values: Float[Tensor, " n"],
        offsets: Int[Tensor, " t_and_1"],
        items: Int[Tensor, " t"],
        labels: Bool[Tensor, " t"],
    ) -> None:
        """Adds the codes of some tokens.

        Args:
            ids: units of all tokens, one token after the other, [n].
            values: their activations, [n].
            offsets: where each token begins, from 0, and at the end n, [t + 1].
            items: the document of each token, [t].
            labels: whether that document is of the positive class, [t].

        Raises:
            WrongUse: the tensors do not fit each other, or a document carries two labels.
        """
        self._pooled.add(active(self.name, ids, values, offsets, self.n_units), items, labels)

    def value(self) -> float:
        """Balanced accuracy on the held-out documents.

        Raises:
            WrongUse: a class has too few documents.
            MissingPackage: scikit-learn is not installed.
        """
        return self.probe().accuracy

    def per_item(self) -> PerItem:
        """The held-out documents: their weight where the probe was right, over their weight.

        The probe is taken as it is: an interval from these does not hold what another training set would change.
        """
        probe = self.probe()
        return PerItem(self._pooled.documents()[probe.tested], probe.right * probe.weights, probe.weights)

    def shuffled(self, seeds: Sequence[int]) -> list[float]:
        """What the same procedure scores with the documents' labels shuffled, once for each seed.

        Labels of training and held-out documents are shuffled together, and units chosen anew each time: shuffling
        the training labels alone would leave a probe that reads the class well, with a random sign.
        """
        means, labels = self._pooled_or_none()
        return [
            _probe(self.name, means, np.random.default_rng(seed).permutation(labels), self.k, self.seed).accuracy
            for seed in seeds
        ]

    def probe(self) -> Probe:
        """Chooses the units, fits the probe and tests it."""
        means, labels = self._pooled_or_none()
        return _probe(self.name, means, labels, self.k, self.seed)

    def _pooled_or_none(self) -> tuple[sparse.csr_array, Bool[np.ndarray, " i"]]:
        labels = self._pooled.labels()
        if min(labels.sum(), (~labels).sum()) < 3:
            found = f"{labels.sum()} documents of the positive class and {(~labels).sum()} of the other"
            do = "add three documents or more of each, two to train on and one to test"
            raise WrongUse(f"take the value of {self.name}", found=found, do=do)
        return self._pooled.means(), labels


def probe_of_words(texts: Sequence[str], labels: Bool[np.ndarray, " i"], seed: int = 0) -> Probe:
    """The same regression on the words of the texts: the null that knows no model, on the same held-out documents.

    A bag of words: how often each word of the training documents occurs, as 1 + ln of the count, times its inverse
    document frequency, rows of norm 1 (scikit-learn's `TfidfVectorizer`). All words are read, not the k best: `units`
    are their columns.

    Args:
        texts: of the documents, in the order of their numbers.
        labels: of each.
        seed: of the split, as `SparseProbing` has it.

    Raises:
        MissingPackage: scikit-learn is not installed.
    """
    text = need("sklearn.feature_extraction.text", extra="probe")
    train, test = _split(labels, seed)
    bag = text.TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")
    known = bag.fit_transform([texts[i] for i in train])
    new = bag.transform([texts[i] for i in test])
    return _fitted(np.arange(known.shape[1]), (known, new), labels, (train, test))


def _probe(name: str, means: sparse.csr_array, labels: Bool[np.ndarray, " i"], k: int, seed: int) -> Probe:
    train, test = _split(labels, seed)
    units = _most_different(means[train], labels[train], k)
    few = means[:, units].toarray()
    deviation = few[train].std(0)
    # The mean is taken off for the solver alone: without it a large steady unit keeps it from converging.
    few = (few - few[train].mean(0)) / np.where(deviation > 0, deviation, 1.0)
    return _fitted(units, (few[train], few[test]), labels, (train, test))


def _fitted(
    units: Int[np.ndarray, " k"],
    features: tuple[Any, Any],
    labels: Bool[np.ndarray, " i"],
    rows: tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]],
) -> Probe:
    """Fits to the features of the training documents, dense or sparse, and tests on those of the others."""
    linear = need("sklearn.linear_model", extra="probe")
    train, test = rows
    model = linear.LogisticRegression(C=1.0, max_iter=1000, class_weight="balanced")
    model.fit(features[0], labels[train])
    right = model.predict(features[1]) == labels[test]
    of_class = np.where(labels[test], labels[test].sum(), (~labels[test]).sum())
    return Probe(units, test, right, 0.5 / of_class)


def _split(labels: Bool[np.ndarray, " i"], seed: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Rows to train and to test on, 80% and 20% of each class, at least one to test."""
    rng = np.random.default_rng(seed)
    train, test = [], []
    for one in (False, True):
        rows = rng.permutation(np.flatnonzero(labels == one))
        first = min(round(TRAIN_SHARE * len(rows)), len(rows) - 1)
        train.append(rows[:first])
        test.append(rows[first:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _most_different(means: sparse.csr_array, labels: Bool[np.ndarray, " i"], k: int) -> Int[np.ndarray, " k"]:
    """The k units whose means differ most between the classes, the first of equals."""
    gap = np.abs(means[labels].mean(axis=0) - means[~labels].mean(axis=0))
    return np.argsort(-np.asarray(gap).ravel(), kind="stable")[:k]
