"""What ships: the model `tiny`, its dictionaries and its stories are whole, and do what they are for."""

import pytest
import torch

from microtome.activations.config import StreamConfig
from microtome.activations.stream import Stream
from microtome.circuit.trace import trace
from microtome.data.corpus import corpus
from microtome.dictionary.baseline import beside
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.named import SHIPPED, dictionary_names
from microtome.metrics.explained_variance import ExplainedVariance
from microtome.model.opening import open
from microtome.model.sources.named import NAMED

TOKENS = 3000
K = 16
NAMES = {" Tom", " Max", " Sam", " Ben", " Tim", " Jack", " Anna", " Emma", " Amy", " Lucy", " Lily", " Dan", " Bob"}


@pytest.fixture(scope="module")
def model():
    return open("tiny")


@pytest.fixture(scope="module")
def transcoders():
    return load_dictionary("tiny/transcoders")


@pytest.fixture(scope="module")
def sae():
    return load_dictionary("tiny/sae")


@pytest.fixture(scope="module")
def rows(model, transcoders, sae):
    """Activations over stories that neither the model nor its dictionaries have seen."""
    sites = list(dict.fromkeys([*transcoders.reads, *transcoders.writes, *sae.reads]))
    return Stream(model, "stories", sites, StreamConfig(buffer_rows=1 << 14)).batch(TOKENS, sites)


def explained(x, x_hat) -> float:
    metric = ExplainedVariance()
    metric.add(x, x_hat)
    return metric.value()


def test_it_is_small():
    folders = [NAMED.get("tiny").folder, SHIPPED / "tiny"]
    weights, dictionaries = (sum(one.stat().st_size for one in folder.rglob("*.*")) for folder in folders)
    assert (NAMED.get("tiny").folder / "model.safetensors").stat().st_size <= 2_000_000
    assert weights + dictionaries <= 4_000_000


def test_its_certificate_passes(model):
    assert model.certificate.passed
    assert model.name == "tiny"
    assert sum(one.numel() for one in model.module.parameters()) == NAMED.get("tiny").parameters
    assert model.dtype == torch.float32


@pytest.mark.parametrize(
    ("prompt", "sensible"),
    [
        ("Once upon a", {" time"}),
        ("Once upon a time, there was a little dog named", NAMES),
        ("Tom and Sam were", {" friends"}),
        ("The sad bear was hungry. It looked for", {" food"}),
        ("Lily had a red ball. She loved it very", {" much"}),
    ],
)
def test_it_predicts_what_it_learned(model, prompt, sensible):
    assert sensible & set(model.predict(prompt, top=3).tokens)


def test_he_and_she_follow_the_name(model):
    logits = {
        name: model.run(f"{name} had a red ball.", capture=["logits"])["logits"][0, -1] for name in ("Tom", "Lily")
    }
    he, she = (model.tokenizer.encode(word, add_special_tokens=False)[0] for word in (" He", " She"))
    assert logits["Tom"][he] > logits["Tom"][she]
    assert logits["Lily"][she] > logits["Lily"][he]


def test_its_words_are_tokens(model):
    assert model.tokens("Once upon a time, the little dog ran.") == [
        "<|end|>", "Once", " upon", " a", " time", ",", " the", " little", " dog", " ran", ".",
    ]  # fmt: skip


def test_its_sae_explains_more_than_what_nobody_trained(sae, rows):
    (site,) = sae.reads
    x = rows[site]
    found = explained(x, sae.reconstruct(x))
    others = {name: explained(x, beside(sae, name, k=K, x=x).reconstruct(x)) for name in ("pca", "random", "neurons")}
    assert found > max(others.values()) + 0.05, others


def through(x, y, rank: int):
    """The best linear map of a rank from x to y, fitted to these very tokens."""
    x, y = x - x.mean(0), y - y.mean(0)
    made = x @ torch.linalg.lstsq(x, y).solution
    kept = torch.linalg.svd(made, full_matrices=False).Vh[:rank]
    return made @ kept.T @ kept


def test_its_transcoders_explain_every_layer(transcoders, rows):
    x = torch.stack([rows[site] for site in transcoders.reads], 1)
    made = transcoders.reconstruct(x)
    for layer, (read, write) in enumerate(zip(transcoders.reads, transcoders.writes, strict=True)):
        y = rows[write]
        linear = through(rows[read], y, K) + y.mean(0)
        assert explained(y, made[:, layer]) > explained(y, linear) + 0.02, write


def test_they_stand_at_all_layers(model, transcoders, sae):
    assert transcoders.reads == tuple(f"mlp.in.{layer}" for layer in range(model.n_layers))
    assert transcoders.writes == tuple(f"mlp.out.{layer}" for layer in range(model.n_layers))
    assert transcoders.geometry.kind == "set of transcoders"
    assert sae.geometry.kind == "sae"
    assert {"tiny/sae", "tiny/transcoders"} <= set(dictionary_names())


def test_the_model_that_they_were_trained_on_is_the_one_that_ships(model, transcoders, sae):
    for dictionary in (transcoders, sae):
        assert dictionary.card.model["fingerprint"] == model.fingerprint


def test_its_stories_are_of_simple_words(model):
    stories = list(corpus("stories").documents())
    assert len(stories) >= 100
    encoded = model.tokenizer(stories, add_special_tokens=False)["input_ids"]
    assert sum(map(len, stories)) / sum(map(len, encoded)) > 3.5


def test_a_story_can_be_traced_in_it(model):
    graph = trace(model, "Tom had a red ball. He", target=" loved", max_nodes=64)
    assert len(graph.nodes) > 10
