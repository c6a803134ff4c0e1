"""Both sources of batches: every row once an epoch, the same tokens at all sites, exact resume."""

import json
from collections import Counter

import pytest
import torch

from microtome.activations.config import StreamConfig
from microtome.activations.shuffled import RUN
from microtome.activations.stream import Stream
from microtome.core.batches import BatchSource
from microtome.core.errors import SiteNotFound, WrongUse

SITES = ["resid.1", "mlp.neurons.0"]


@pytest.fixture
def stream(llama, texts):
    def make(**settings) -> Stream:
        config = StreamConfig(**{"context": 24, "batch_rows": 4, "buffer_rows": 300, **settings})
        return Stream(llama, texts, SITES, config)

    return make


@pytest.fixture
def reader(store_of):
    """A reader whose buffer holds two runs."""
    store = store_of()
    size = RUN * 2 * (64 + 96)
    return lambda seed=0: store.shuffled(seed, buffer_bytes=2 * size)


def keys(x: torch.Tensor) -> list[bytes]:
    """Its bytes, by which each row is known."""
    return [row.numpy().tobytes() for row in x]


def test_both_are_batch_sources(reader, stream):
    assert isinstance(reader(), BatchSource)
    assert isinstance(stream(), BatchSource)


def test_an_epoch_gives_every_row_once_then_another_order(store_of, reader):
    n, source = len(store_of()), reader()
    sizes = [50] * (n // 50) + [n % 50]
    first = [key for size in sizes for key in keys(source.batch(size, ["resid.1"])["resid.1"])]
    assert source.state()["epoch"] == 0
    second = [key for size in sizes for key in keys(source.batch(size, ["resid.1"])["resid.1"])]
    there = keys(store_of().rows("resid.1", slice(None)))
    assert sorted(first) == sorted(second) == sorted(there)
    assert first != second
    assert first != there


def test_a_batch_may_be_larger_than_the_store(store_of, reader):
    store, n = store_of(), len(store_of())
    found = keys(reader().batch(2 * n, ["resid.1"])["resid.1"])
    assert sorted(found) == sorted(2 * keys(store.rows("resid.1", slice(None))))


def test_views_give_their_own_rows(store_of):
    test = store_of().split(0.3)[1]
    found = keys(test.shuffled(sites=["resid.1"]).batch(len(test), ["resid.1"])["resid.1"])
    assert sorted(found) == sorted(keys(test.rows("resid.1", slice(None))))


@pytest.mark.parametrize("which", ["reader", "stream"])
def test_sites_stay_together_and_may_change_between_batches(which, reader, stream):
    """What is asked for must not decide which rows come."""
    make = {"reader": reader, "stream": stream}[which]
    both, alternating = make(), make()
    for step in range(30):
        batch = both.batch(37, SITES)
        site = SITES[step % 2]
        alone = alternating.batch(37, [site])
        assert list(alone) == [site]
        assert torch.equal(alone[site], batch[site])
        assert batch[site].dtype is torch.float32


@pytest.mark.parametrize("which", ["reader", "stream"])
@pytest.mark.parametrize("before", [0, 1, 5, 23])
def test_a_state_brings_back_the_same_batches_bit_for_bit(which, before, reader, stream):
    make = {"reader": reader, "stream": stream}[which]
    source = make()
    for _ in range(before):
        source.batch(41, SITES)
    state = json.loads(json.dumps(source.state()))  # plain values
    ahead = [source.batch(41, SITES) for _ in range(25)]
    other = make()
    other.batch(13, SITES)  # had been used otherwise
    other.restore(state)
    assert other.state() == state
    for batch in ahead:
        found = other.batch(41, SITES)
        assert all(torch.equal(found[site], batch[site]) for site in SITES)
    assert other.state() == source.state()
    assert other.card == source.card
    assert other.mean_squared_norms == source.mean_squared_norms


def test_a_state_of_another_source_is_refused(reader, stream):
    for state, other in ((reader(0).state(), reader(1)), (stream().state(), stream(seed=1))):
        with pytest.raises(WrongUse) as error:
            other.restore(state)
        assert "the state of a s" in error.value.found


def test_a_stream_gives_what_a_store_holds(store_of, stream):
    """Every text is read once before any is read again, and what waits in the buffer comes out of it."""
    store, source = store_of(), stream()
    there = keys(store.rows("resid.1", slice(None)))
    n = len(there)
    found = keys(source.batch(n - 100, ["resid.1"])["resid.1"])
    assert set(found) <= set(there)
    assert sorted(found) != sorted(there)[: len(found)]
    counts = Counter(found + keys(source.batch(3 * n, ["resid.1"])["resid.1"]))
    expected = Counter(there)
    assert all(3 * expected[key] - 1 <= counts[key] <= 5 * expected[key] for key in there)


def test_a_stream_mixes_neighbouring_helpings(stream):
    """A batch holds rows of the helping before; the first has none."""
    source = stream(buffer_rows=300)
    source.batch(100, SITES)  # the hand of the first helping
    begun = source.state()
    assert begun["helping"] == 0
    source.batch(1, SITES)
    assert source.state()["helping"] == 1
    assert source.state()["began"][0] != source.state()["began"][1]


def test_the_buffer_keeps_to_its_limits(llama, texts, stream):
    row = 2 * (64 + 96)
    assert stream(buffer_rows=300).buffer.value == 300 * row
    assert stream(buffer_bytes=100 * row).buffer.value == 99 * row
    with pytest.raises(WrongUse) as error:
        stream(buffer_bytes=2 * row)
    assert error.value.do.startswith(f"give at least {3 * row}")


def test_a_stream_leaves_large_norms_out_and_says_so(stream):
    source = stream(norm_limit=1.2)
    limits = source.card["limits"]
    batch = source.batch(500, SITES)
    assert all(bool((batch[site].norm(dim=1) <= limits[site] * 1.01).all()) for site in SITES)
    assert source.card["left_out"]["large at resid.1"] > 0
    free = stream().batch(500, SITES)
    assert any(bool((free[site].norm(dim=1) > limits[site]).any()) for site in SITES)


def test_norms_are_those_of_the_first_helping(stream):
    source = stream(buffer_rows=3000)
    norms = dict(source.mean_squared_norms)
    batch = source.batch(1000, SITES)
    for site in SITES:
        assert norms[site] == pytest.approx(float(batch[site].square().sum(1).mean()), rel=0.1)


def test_unknown_sites_and_no_room_are_refused(store_of, reader, stream):
    for source in (reader(), stream()):
        with pytest.raises(SiteNotFound):
            source.batch(3, ["resid.0"])
    with pytest.raises(WrongUse):
        store_of().shuffled(buffer_bytes=1000)
    with pytest.raises(SiteNotFound):
        store_of().shuffled(sites=["resid.0"])
