"""What a store holds is what the model gave, row by row; views, damage, refusals."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from microtome.activations.coding import coded
from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.activations.store import open_store
from microtome.core.errors import FormatError, MissingFile, SiteNotFound, StoreCorrupt, WrongUse
from microtome.model.edits import ablate
from microtome.model.model import Model

SITES = ("resid.1", "mlp.neurons.0", "attn.heads.1")


def test_rows_are_what_the_model_gives_for_that_token_of_that_document(llama, texts, store_of):
    store = store_of(SITES, dtype="float32", context=96)
    assert store.n_tokens == len(store) == len(store.documents)
    for i in (0, 40, len(store) - 1, len(store) // 2):
        document, position = int(store.documents[i]), int(store.positions[i])
        run = llama.run(texts[document], capture=list(SITES))
        assert int(run.batch.ids[0, position]) == int(store.tokens[i])
        for site in SITES:
            torch.testing.assert_close(store.rows(site, [i])[0], run[site][0, position].flatten())
    assert store.widths == {"resid.1": 64, "mlp.neurons.0": 96, "attn.heads.1": 64}


@pytest.mark.parametrize("dtype, tolerance", [("bfloat16", 2**-8), ("int8", 1 / 254)])
def test_a_smaller_dtype_rounds_as_it_says(store_of, dtype, tolerance):
    exact, rounded = store_of(dtype="float32", name="exact"), store_of(dtype=dtype, name="rounded")
    assert torch.equal(exact.tokens, rounded.tokens)
    for site in exact.sites:
        x, y = exact.rows(site, slice(None)), rounded.rows(site, slice(None))
        largest = x.abs().amax(1, keepdim=True) if dtype == "int8" else x.abs()
        assert bool(((x - y).abs() <= largest * tolerance * 1.0001).all())
        torch.testing.assert_close(rounded.squares(site), y.square().sum(1))
        torch.testing.assert_close(rounded.means[site], y.mean(0), atol=1e-5, rtol=1e-4)
        assert rounded.mean_squared_norms[site] == pytest.approx(float(y.square().sum(1).mean()), rel=1e-5)


@given(arrays.arrays("float32", (3, 5), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_eight_bits_are_off_by_half_a_step_at_most(x):
    rows = torch.from_numpy(x)
    error = (coded(rows, "int8").decoded() - rows).abs()
    assert bool((error <= rows.abs().amax(1, keepdim=True) / 254 * 1.001 + 1e-37).all())


def test_tokens_cut_the_store_and_more_tokens_append(store_of):
    first = store_of(tokens=100)
    assert (len(first), len(first.shards)) == (100, len(first.manifest.shards))
    longer, whole = store_of(tokens=333), store_of(tokens=333, name="other")
    assert len(longer) == len(whole) == 333
    for site in longer.sites:
        assert torch.equal(longer.rows(site, slice(None)), whole.rows(site, slice(None)))
    assert torch.equal(longer.documents, whole.documents)
    assert longer.manifest.left_out == whole.manifest.left_out
    assert len(store_of(tokens=50)) == 333  # there already


def test_all_texts_are_read_where_no_number_is_given(store_of):
    store = store_of(tokens=10)
    assert not store.manifest.complete
    store = store_of()
    assert store.manifest.complete
    assert store.manifest.left_out["special"] > 0
    again = store_of(tokens=10**6)
    assert again.fingerprint == store.fingerprint


def test_large_norms_are_left_out_counted_and_said(store_of):
    whole, cut = store_of(dtype="float32"), store_of(dtype="float32", norm_limit=1.2, name="cut")
    kept = torch.ones(len(whole), dtype=torch.bool)
    for site, limit in cut.manifest.limits.items():
        assert limit == pytest.approx(1.2 * float(whole.squares(site).sqrt().median()))
        kept &= whole.squares(site) <= limit**2
    assert 0 < len(cut) == int(kept.sum()) < len(whole)
    assert torch.equal(cut.documents, whole.documents[kept])
    assert cut.card["left_out"]["large at resid.1"] > 0
    assert len(whole.below(1.2)) == len(cut)
    assert whole.below(1.2).card["view"] == ["norms up to 1.2 times the median"]


def test_a_split_shares_no_document_and_stays_as_the_store_grows(store_of):
    train, test = store_of(tokens=300).split(0.3, seed=5)
    assert len(train) + len(test) == 300
    assert not set(train.documents.tolist()) & set(test.documents.tolist())
    more, more_test = store_of().split(0.3, seed=5)
    assert set(train.documents.tolist()) <= set(more.documents.tolist())
    assert set(test.documents.tolist()) <= set(more_test.documents.tolist())
    assert train.fingerprint != test.fingerprint
    x = test.rows("resid.1", slice(None))
    assert test.mean_squared_norms["resid.1"] == pytest.approx(float(x.square().sum(1).mean()), rel=1e-5)
    inner = test.split(0.5)[0]
    assert set(inner.documents.tolist()) < set(test.documents.tolist())
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(WrongUse):
            test.split(share)


def test_rows_come_in_the_order_asked(store_of):
    store = store_of()
    whole = store.rows("resid.1", slice(None))
    order = torch.randperm(len(store), generator=torch.Generator().manual_seed(0))
    assert len(store.shards) > 2
    assert torch.equal(store.rows("resid.1", order), whole[order])
    view = store.split(0.4)[1]
    numbers = view.chosen
    assert torch.equal(view.rows("resid.1", [3, 0, 3]), whole[numbers[[3, 0, 3]]])
    with pytest.raises(WrongUse):
        store.rows("resid.1", [len(store)])
    with pytest.raises(SiteNotFound) as error:
        store.rows("resid.0", [0])
    assert "the closest are 'resid.1'" in error.value.found


@pytest.mark.parametrize(
    "damage, found",
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), "bytes instead of"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "a file that cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"values resid.1", b"values resid.0")), "no tensor"),
    ],
    ids=["gone", "cut", "zeros", "renamed"],
)
def test_a_damaged_shard_is_told_on_opening_and_before_harvest_goes_on(store_of, damage, found):
    store = store_of(tokens=300)
    damage(store.shards[1].path)
    for use in (lambda: open_store(store.path), lambda: store_of()):
        with pytest.raises(StoreCorrupt) as error:
            use()
        assert found in error.value.found
        assert str(store.shards[1].path) in error.value.what


def test_a_flipped_bit_is_told_by_verify(store_of):
    store = store_of(tokens=300)
    store.verify()
    raw = bytearray(store.shards[0].path.read_bytes())
    raw[-100] ^= 1
    store.shards[0].path.write_bytes(raw)
    with pytest.raises(StoreCorrupt) as error:
        open_store(store.path).verify()
    assert "checksum" in error.value.found


def test_a_damaged_manifest_is_told(store_of, tmp_path):
    store = store_of(tokens=50)
    manifest = store.path / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[:-40])
    with pytest.raises(FormatError):
        open_store(store.path)
    manifest.write_text(json.dumps({**json.loads(text), "shards": [{"name": "x"}]}))
    with pytest.raises(StoreCorrupt):
        open_store(store.path)
    manifest.unlink()
    with pytest.raises(MissingFile):
        open_store(store.path)
    with pytest.raises(WrongUse) as error:
        store_of(tokens=50)
    assert "a folder that is no store" in error.value.found


@pytest.mark.parametrize(
    "other, said",
    [
        ({"context": 16}, "context 24 there, 16 asked"),
        ({"dtype": "int8"}, "dtype 'bfloat16' there, 'int8' asked"),
        ({"sites": ("resid.0",)}, "sites ['resid.1', 'mlp.neurons.0'] there, ['resid.0'] asked"),
    ],
)
def test_a_store_made_otherwise_is_refused(store_of, other, said):
    store = store_of(tokens=50)
    with pytest.raises(WrongUse) as error:
        store_of(tokens=100, **other)
    assert error.value.found == f"it was made otherwise: {said}"
    assert len(open_store(store.path)) == 50


def test_other_texts_and_another_model_are_refused(llama, texts, store_of):
    store = store_of(tokens=50)
    config = store.manifest.config
    with pytest.raises(WrongUse) as error:
        harvest(llama, texts[1:], ["resid.1", "mlp.neurons.0"], out=store.path, config=config)
    assert "texts " in error.value.found
    stranger = Model(llama.module, llama.tokenizer, llama.network, name="other", fingerprint="f" * 16)
    with pytest.raises(WrongUse) as error:
        harvest(stranger, texts, ["resid.1", "mlp.neurons.0"], out=store.path, config=config)
    assert "model " in error.value.found


def test_what_cannot_be_kept_is_refused(llama, texts, tmp_path, tiny):
    for sites in (["attn.pattern.0"], ["attn.scores.*"], []):
        with pytest.raises(WrongUse):
            harvest(llama, texts, sites, out=tmp_path / "store")
    with llama.edit(ablate("mlp.neurons.0", units=[1])), pytest.raises(WrongUse) as error:
        harvest(llama, texts, ["resid.1"], out=tmp_path / "store")
    assert "edits in force" in error.value.found
    with pytest.raises(WrongUse):
        harvest(tiny("llama", torch.float32), texts, ["resid.1"], out=tmp_path / "store")
    with pytest.raises(WrongUse):
        harvest(llama, texts, ["resid.1"], tokens=0, out=tmp_path / "store")
    with pytest.raises(WrongUse):
        HarvestConfig(dtype="float8")
    assert not (tmp_path / "store").exists()
