"""Sparse probing, on documents whose class is written into known units among many that carry none.

The telling unit fires on few tokens of long documents, another unit is large and tells nothing, classes are uneven and
tokens come mixed: pooling by tokens instead of documents, choosing by size, or testing on what was trained on would
each show.
"""

import sys

import numpy as np
import pytest
import torch
from sparse_codes import compressed

from microtome.core.errors import MissingPackage, WrongUse
from microtome.evidence import Null, ratio_of_sums
from microtome.metrics.codes import active
from microtome.metrics.pooling import Pooled
from microtome.metrics.sparse_probing import SparseProbing, _split
from unchecked import unchecked

DOCUMENTS, LENGTH, UNITS, TELLING, LARGE = 200, 6, 40, 7, 11


def corpus(seed=0, documents=DOCUMENTS, share=0.3, signal=1.0):
    """Codes [t, u], the document of each token and its label; unit 7 fires on one token of most positive documents."""
    draw = torch.Generator().manual_seed(seed)
    items = torch.arange(documents).repeat_interleave(LENGTH)
    label = torch.rand(documents, generator=draw) < share
    codes = torch.rand(len(items), UNITS, generator=draw) * (torch.rand(len(items), UNITS, generator=draw) < 0.1)
    codes[:, LARGE] += 20.0
    fires = label & (torch.rand(documents, generator=draw) < 0.9)
    codes[:, TELLING] = 0.0
    codes[::LENGTH, TELLING] = 6 * signal * fires.float()
    return codes, items, label[items]


def probing(codes, items, labels, k=1, chunk=None, seed=0):
    metric = SparseProbing(UNITS, k, seed)
    for rows in torch.arange(len(items)).split(chunk or len(items)):
        metric.add(*compressed(codes[rows]), items[rows], labels[rows])
    return metric


@pytest.fixture(scope="module")
def metric():
    return probing(*corpus())


def test_finds_the_telling_unit_and_what_it_is_worth(metric):
    assert metric.probe().units.tolist() == [TELLING]
    assert 0.85 < metric.value() < 1.0
    assert metric.name == "sparse_probing_1"


def test_documents_that_were_not_trained_on_are_tested(metric):
    labels = metric._pooled.labels()
    train, test = _split(labels, 0)
    assert sorted([*train, *test]) == list(range(DOCUMENTS))
    assert metric.probe().tested.tolist() == test.tolist()
    for one in (False, True):
        assert (labels[test] == one).sum() == pytest.approx(0.2 * (labels == one).sum(), abs=1)


@pytest.mark.parametrize("chunk", [1, 17, 400])
def test_neither_batches_nor_the_order_of_tokens_matter(metric, chunk):
    codes, items, labels = corpus()
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(1))
    other = probing(codes[order], items[order], labels[order], chunk=chunk)
    assert other.value() == pytest.approx(metric.value(), abs=1e-12)
    assert other.probe().units.tolist() == metric.probe().units.tolist()


def test_the_unit_of_the_activations_does_not_matter(metric):
    codes, items, labels = corpus()
    assert probing(codes * 1e-3, items, labels).value() == pytest.approx(metric.value(), abs=1e-12)


def test_a_long_document_counts_once():
    codes, items, labels = corpus()
    again = torch.cat([torch.arange(len(items)), torch.arange(LENGTH).repeat(500)])  # document 0, 500 times over
    longer = probing(codes[again], items[again], labels[again])
    assert longer.value() == pytest.approx(probing(codes, items, labels).value(), abs=1e-12)


def test_pooling_takes_means_over_tokens_by_hand():
    pooled = Pooled("x", 3)
    items, labels = torch.tensor([9, 4, 9]), torch.tensor([True, False, True])
    for rows in ([0, 1], [2]):
        codes = torch.tensor([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0], [4.0, 0.0, 1.0]])[rows]
        pooled.add(active("x", *compressed(codes), n_units=3), items[rows], labels[rows])
    assert pooled.documents().tolist() == [4, 9]
    assert pooled.labels().tolist() == [False, True]
    assert pooled.means().toarray().tolist() == [[0.0, 5.0, 0.0], [3.0, 0.0, 0.5]]


def test_more_units_read_what_one_cannot():
    """The class is the first unit or the second, never both and one of them tiny: one unit finds half of it."""
    draw = torch.Generator().manual_seed(2)
    items = torch.arange(400)
    label = torch.rand(400, generator=draw) < 0.5
    first = torch.rand(400, generator=draw) < 0.5
    codes = torch.zeros(400, UNITS)
    codes[:, 0], codes[:, 1] = 100.0 * (label & first), 0.001 * (label & ~first)
    one, five = probing(codes, items, label, k=1), probing(codes, items, label, k=5)
    assert one.value() == pytest.approx(0.75, abs=0.08)
    assert five.value() == 1.0
    assert set(five.probe().units[:2]) == {0, 1}


def test_a_unit_that_tells_by_its_silence_is_found_too():
    codes, items, labels = corpus()
    assert probing(codes, items, ~labels).probe().units.tolist() == [TELLING]


def test_always_saying_the_same_scores_a_half_however_uneven_the_classes():
    codes, items, labels = corpus(share=0.1)
    assert probing(torch.zeros_like(codes), items, labels).value() == 0.5


def test_a_rare_class_weighs_as_much_as_the_other():
    """Two normals one deviation apart: half-way between the means is right in Φ(½) = 0.69 of both classes."""
    draw = torch.Generator().manual_seed(4)
    label = torch.rand(8000, generator=draw) < 0.1
    codes = torch.zeros(8000, UNITS)
    codes[:, 3] = torch.randn(8000, generator=draw) + label
    assert probing(codes, torch.arange(8000), label).value() == pytest.approx(0.69, abs=0.05)


def test_units_are_not_chosen_on_what_is_tested():
    """Of 2,000 units without signal the luckiest on 40 documents look telling on those alone."""
    values = []
    for seed in range(10):
        codes = torch.randn(40, 2000, generator=torch.Generator().manual_seed(seed))
        metric = SparseProbing(2000, k=10)
        metric.add(*compressed(codes), torch.arange(40), torch.arange(40) % 2 == 0)
        values.append(metric.value())
    assert np.mean(values) == pytest.approx(0.5, abs=0.12)


def test_held_out_documents_add_up(metric):
    items, above, below = metric.per_item()
    value, interval = ratio_of_sums(above, below)
    assert value == pytest.approx(metric.value(), rel=1e-12)
    assert interval[0] < value < interval[1]
    assert len(items) == len(metric.probe().tested)


def test_the_value_beats_shuffled_labels_and_they_score_a_half(metric):
    draws = metric.shuffled(range(40))
    assert np.mean(draws) == pytest.approx(0.5, abs=0.04)
    assert Null.against("shuffled labels", metric.value(), draws).p_value == pytest.approx(1 / 41)


def test_without_signal_the_value_is_one_of_its_null():
    """Over corpora with nothing to find, values look like shuffled ones: nothing that is tested was fitted."""
    values, draws = [], []
    for seed in range(20):
        silent = probing(*corpus(seed=seed, documents=60, share=0.5, signal=0.0), k=UNITS)
        values.append(silent.value())
        draws += silent.shuffled(range(5))
    assert np.mean(values) == pytest.approx(0.5, abs=0.08)
    assert np.mean(draws) == pytest.approx(0.5, abs=0.04)


def test_shuffling_is_decided_by_its_seeds_and_leaves_the_value_alone(metric):
    before = metric.value()
    assert metric.shuffled([3, 4]) == metric.shuffled([3, 4])
    assert metric.shuffled([3]) != metric.shuffled([4])
    assert metric.value() == before


@pytest.mark.parametrize(
    "items, labels, said",
    [
        ([0, 0, 1], [True, False, True], "document 0 with both labels"),
        ([0, 1, 2], [True, True, True], "3 documents of the positive class and 0 of the other"),
        ([0, 0], [True, True], "3 tokens, 2 items, 2 labels"),
    ],
    ids=["two-labels", "one-class", "counts"],
)
def test_what_cannot_be_probed_is_refused(items, labels, said):
    def probe():
        metric = SparseProbing(UNITS)
        metric.add(*compressed(torch.ones(3, UNITS)), torch.tensor(items), torch.tensor(labels))
        metric.value()

    with unchecked(), pytest.raises(WrongUse) as error:
        probe()
    assert error.value.found == said


def test_a_document_may_not_change_its_label_between_batches():
    metric = SparseProbing(UNITS)
    metric.add(*compressed(torch.ones(1, UNITS)), torch.tensor([5]), torch.tensor([True]))
    with pytest.raises(WrongUse, match="document 5 with both labels"):
        metric.add(*compressed(torch.ones(1, UNITS)), torch.tensor([5]), torch.tensor([False]))


@pytest.mark.parametrize("k", [0, UNITS + 1])
def test_k_has_to_be_a_number_of_units(k):
    with pytest.raises(WrongUse, match=f"{k} of {UNITS} units"):
        SparseProbing(UNITS, k)


def test_nothing_added_has_no_value():
    with pytest.raises(WrongUse, match="0 documents of the positive class"):
        SparseProbing(UNITS).value()


def test_without_the_extra_the_error_names_it(metric, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(MissingPackage, match=r"pip install 'microtome\[probe\]'"):
        metric.value()
