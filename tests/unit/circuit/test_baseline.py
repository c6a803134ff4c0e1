"""Means over the neutral prompts: worked out by hand, kept for a model and its units, and for no others."""

import pytest
import torch

from microtome.circuit.basis import Cut
from microtome.circuit.cutting import cut
from microtome.circuit.naming import basis_of
from microtome.circuit.neutral_means import FILE, neutral_means
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import layer_by_layer
from microtome.dictionary.starting import untrained
from microtome.model.frozen import freeze
from microtome.model.neutral import NEUTRAL
from microtome.model.opening import open

TEXT = "Tom has a red ball. Tom likes his"
UNITS = 16


@pytest.fixture(scope="module")
def model():
    return open("tiny")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path))
    return tmp_path / "baselines"


def transcoders(model, k: int) -> Dictionary:
    layers, d = range(model.n_layers), model.anatomy.sizes.d
    reads, writes = (tuple(f"mlp.{end}.{layer}" for layer in layers) for end in ("in", "out"))
    return untrained(
        layer_by_layer(reads, writes, d, d, UNITS), TopK(k), Conventions(centred=False), seed=0, length=0.7
    )


def cut_in(model, basis) -> Cut:
    return cut(basis_of(model, basis), freeze(model, TEXT), None)[0]


def test_they_are_those_of_every_unit_on_every_neutral_token(model, cache):
    dictionary = transcoders(model, 4)
    found = neutral_means(model, cut_in(model, dictionary).blocks)
    first, later = [], []
    for text in NEUTRAL:
        run = model.run(text, ["mlp.in.1", "embed"])
        x = torch.zeros(len(run["mlp.in.1"][0]), model.n_layers, run["mlp.in.1"].shape[-1])
        x[:, 1] = run["mlp.in.1"][0]
        codes = dictionary.encode(x).dense()[:, UNITS : 2 * UNITS]
        first.append(codes[:1])
        later.append(codes[1:])
    torch.testing.assert_close(found.units[1], torch.stack([torch.cat(first).mean(0), torch.cat(later).mean(0)]))


def test_they_are_kept_and_read_again(model, cache, monkeypatch):
    blocks = cut_in(model, "neurons").blocks
    before = neutral_means(model, blocks)
    assert len(list(cache.glob(f"*/{FILE}"))) == 1
    monkeypatch.setattr(type(model), "run", None)  # nothing may run any more
    after = neutral_means(model, blocks)
    assert all(torch.equal(a, b) for a, b in zip(before.units, after.units, strict=True))
    assert torch.equal(before.embed, after.embed)


def test_other_units_have_means_of_their_own(model, cache):
    """The same weights, of which another number is active: no fingerprint of weights tells these apart."""
    few, many = (neutral_means(model, cut_in(model, transcoders(model, k)).blocks) for k in (2, 8))
    assert len(list(cache.glob(f"*/{FILE}"))) == 2
    assert int((few.units[0] != 0).sum()) < int((many.units[0] != 0).sum())


def test_a_cache_that_cannot_be_written_to_costs_time_alone(model, tmp_path, monkeypatch, caplog):
    blocks = cut_in(model, "neurons").blocks
    expected = neutral_means(model, blocks)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "file"))
    found = neutral_means(model, blocks)
    assert all(torch.equal(a, b) for a, b in zip(expected.units, found.units, strict=True))
    assert "cannot keep the means over neutral prompts" in caplog.text
