"""Whether units stand for contexts: chosen on one half of the documents, judged on the other."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from one_layer_texts import PROXIES, Document
from scipy import sparse
from transformers import PreTrainedTokenizerFast

from microtome.activations.store import ActivationStore
from microtome.dictionary.dictionary import Dictionary
from microtome.evidence import Measurement, Null, difference_of_own_ratios, ratio_of_sums

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
"""Thresholds that are tried, as shares of a unit's largest activation on the half on which it is chosen."""
AT_ONCE = 16_384
TRAINED, NEURONS = "the dictionary", "raw neurons"


@dataclass(frozen=True, eq=False)
class Rows:
    """Held-out documents, each of as many tokens, of a store in which others lie too.

    Attributes:
        numbers: of the documents, in rising order, [i].
        rows: where their tokens lie in the store, [i, p].
    """

    numbers: Int[np.ndarray, " i"]
    rows: Int[np.ndarray, "i p"]

    def half(self, which: int) -> "Rows":
        """Every other document."""
        return Rows(self.numbers[which::2], self.rows[which::2])


def whole_rows(store: ActivationStore, length: int) -> Rows:
    """The first tokens of the documents that have so many, the first of all left out."""
    documents, positions = store.documents.numpy(), store.positions.numpy()
    order = np.lexsort((positions, documents))
    order = order[positions[order] < length]
    numbers, counts = np.unique(documents[order], return_counts=True)
    full = numbers[counts == length - 1]
    return Rows(full, order[np.isin(documents[order], full)].reshape(len(full), length - 1))


def marks(
    documents: Sequence[Document], tokenizer: PreTrainedTokenizerFast, rows: Rows, proxy: str
) -> Bool[np.ndarray, "i p"]:
    """Which tokens hold a character of the context."""
    of_characters, found = PROXIES[proxy][0], np.zeros(rows.rows.shape, dtype=bool)
    for line, number in zip(found, rows.numbers, strict=True):
        document = documents[number]
        spans = tokenizer(document.text, return_offsets_mapping=True)["offset_mapping"][1 : len(line) + 1]
        before = np.concatenate([[0], of_characters(document).cumsum()])
        starts, ends = np.array(spans).T
        line[:] = before[np.maximum(ends, starts + 1)] > before[starts]
    return found


def activations(dictionary: Dictionary, store: ActivationStore, site: str, rows: Rows) -> sparse.csr_array:
    """What every unit says of every token, where it is above zero; documents follow each other, [t, u]."""
    parts = []
    for some in torch.from_numpy(rows.rows.ravel()).split(AT_ONCE):
        codes = dictionary.encode(store.rows(site, some))
        codes = codes.where(codes.values > 0)
        shape = (len(some), dictionary.n_units)
        parts.append(sparse.csr_array((codes.values.numpy(), codes.ids.numpy(), codes.offsets.numpy()), shape=shape))
    return sparse.vstack(parts, format="csr")


@dataclass(frozen=True)
class Chosen:
    """The unit that tells a context best, and above what it counts as active.

    Attributes:
        unit, threshold: which, and when.
        f1: on the half on which it was chosen.
    """

    unit: int
    threshold: float
    f1: float


def choose(said: sparse.csr_array, contexts: Float[np.ndarray, "t c"]) -> list[Chosen]:
    """For each context the unit and the threshold with the largest F1 over all tokens."""
    largest = said.max(axis=0).toarray().ravel()
    best = [Chosen(0, 0.0, -1.0)] * contexts.shape[1]
    size = contexts.sum(0)
    for level in LEVELS:
        fires = said.copy()
        fires.data = (fires.data > level * largest[fires.indices]).astype(np.float32)
        fires.eliminate_zeros()
        right = fires.T @ contexts
        f1 = 2 * right / np.maximum(fires.sum(axis=0)[:, None] + size, 1)
        for context, unit in enumerate(f1.argmax(0)):
            if f1[unit, context] > best[context].f1:
                best[context] = Chosen(int(unit), float(level * largest[unit]), float(f1[unit, context]))
    return best


Parts = tuple[Float[np.ndarray, " i"], Float[np.ndarray, " i"]]
"""Numerators and denominators of a ratio of sums, one of each a document."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a unit says on the half that it was not chosen on.

    Attributes:
        chosen: the unit.
        active: its activation at each token, [i, p].
        context: whether each token is in the context, [i, p].
    """

    chosen: Chosen
    active: Float[np.ndarray, "i p"]
    context: Bool[np.ndarray, "i p"]

    @property
    def fires(self) -> Bool[np.ndarray, "i p"]:
        """Above its threshold."""
        return self.active > self.chosen.threshold

    def f1(self) -> Parts:
        """Numerators and denominators of the documents: twice what is right, over what fires and what should."""
        right = 2.0 * (self.fires & self.context).sum(1)
        return right, (self.fires.sum(1) + self.context.sum(1)).astype(float)

    def precision(self) -> Parts:
        """Share in context of the tokens at which it fires: specificity."""
        return (self.fires & self.context).sum(1).astype(float), self.fires.sum(1).astype(float)

    def recall(self) -> Parts:
        """Share of the tokens in context at which it fires: sensitivity."""
        return (self.fires & self.context).sum(1).astype(float), self.context.sum(1).astype(float)

    def weighted(self) -> Parts:
        """Share in context of all that it ever says, weak activations included."""
        active = self.active.astype(float)
        return (active * self.context).sum(1), active.sum(1)

    def correlation(self) -> float:
        """Of activation and context over tokens."""
        return float(np.corrcoef(self.active.ravel(), self.context.ravel())[0, 1]) if self.active.any() else 0.0


@dataclass(frozen=True, eq=False)
class Context:
    """A context, and everything that was asked whether it stands for it.

    Attributes:
        name: of the context.
        judged: by the name of who was asked.
        measured: the F1 of the dictionary's unit, beside its nulls.
        base: share of all tokens that are in context.
    """

    name: str
    judged: dict[str, Judged]
    measured: Measurement
    base: float


def contexts(
    said: dict[str, tuple[sparse.csr_array, sparse.csr_array]],
    labels: dict[str, tuple[Bool[np.ndarray, "i p"], Bool[np.ndarray, "j p"]]],
    draws: int,
) -> list[Context]:
    """Chooses on the first of each pair of halves, judges on the second.

    Args:
        said: activations of every dictionary that is asked, on both halves.
        labels: of every context, on both halves.
        draws: of shuffled labels.
    """
    stacked = np.stack([first.ravel() for first, _ in labels.values()], 1).astype(np.float32)
    chosen = {name: choose(first, stacked) for name, (first, _) in said.items()}
    found = []
    for number, (name, halves) in enumerate(labels.items()):
        judged = {who: judge(chosen[who][number], second, halves[1]) for who, (_, second) in said.items()}
        shuffled = of_shuffled(said[TRAINED], halves, draws)
        found.append(Context(name, judged, measured(name, judged, shuffled), float(halves[1].mean())))
    return found


def judge(chosen: Chosen, said: sparse.csr_array, context: Bool[np.ndarray, "i p"]) -> Judged:
    """One unit on the second half."""
    return Judged(chosen, said[:, [chosen.unit]].toarray().reshape(context.shape), context)


def of_shuffled(
    said: tuple[sparse.csr_array, sparse.csr_array],
    labels: tuple[Bool[np.ndarray, "i p"], Bool[np.ndarray, "j p"]],
    draws: int,
) -> list[float]:
    """The F1 on the second half where each document has the labels of another, unit and threshold chosen anew."""
    (first, second), (a, b) = said, labels
    orders = [np.random.default_rng(seed) for seed in range(draws)]
    shuffled = [(a[rng.permutation(len(a))], b[rng.permutation(len(b))]) for rng in orders]
    chosen = choose(first, np.stack([one.ravel() for one, _ in shuffled], 1).astype(np.float32))
    scores = []
    for one, (_, context) in zip(chosen, shuffled, strict=True):
        above, below = judge(one, second, context).f1()
        scores.append(float(above.sum() / below.sum()))
    return scores


def measured(name: str, judged: dict[str, Judged], shuffled: list[float]) -> Measurement:
    """The F1 of the dictionary's unit, held against shuffled labels and against everyone else's best unit."""
    above, below = judged[TRAINED].f1()
    kept = below > 0
    value, interval = ratio_of_sums(above[kept], below[kept])
    nulls = [Null.against("shuffled labels", value, shuffled)]
    for who, other in judged.items():
        if who != TRAINED:
            theirs, under = other.f1()
            advantage = difference_of_own_ratios(above, below, theirs, under).interval
            nulls.append(Null.against(who, value, [theirs.sum() / under.sum()], effect_interval=advantage))
    return Measurement(f"F1 of {name}", value, interval, 0.95, tuple(nulls), int(kept.sum()), 0, "F1 over tokens")
