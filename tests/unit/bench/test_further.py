"""What units tell, what stands in for them and whether they come back, on the model that ships and its SAE.

The concepts are known by their words, so that a classifier on the words alone is a null that no dictionary of so small
a model beats; labels that mean nothing are told by no one.
"""

import re

import pytest

from microtome.activations.config import HarvestConfig
from microtome.activations.harvest import harvest
from microtome.bench.absorbing import absorbed
from microtome.bench.agreeing import agree
from microtome.bench.config import MeasureConfig
from microtome.bench.measuring import measure
from microtome.core.errors import MicrotomeError, UnknownName, WrongUse
from microtome.data.corpus import corpus
from microtome.data.labelled import labelled
from microtome.dictionary.baseline import beside
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.starting import untrained
from microtome.evidence.measurement import Measurement
from microtome.model.opening import open
from unchecked import unchecked

CONFIG = MeasureConfig(fitted_on=1000, n_labelled=300, draws=19, context=32)
CLASSES = {
    "animals": "dog cat bird fish frog mouse rabbit bear fox duck horse cow",
    "people": "boy girl man woman king queen farmer baby child mother father friend",
    "places": "park garden house school beach forest farm river lake hill store kitchen",
}
FRAMES = ("One day, Tom saw a ", "Once upon a time, there was a ")


@pytest.fixture(scope="module")
def model():
    return open("tiny", certify=False)


@pytest.fixture(scope="module")
def sae():
    return load_dictionary("tiny/sae")


@pytest.fixture(scope="module")
def store(model, sae, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "kept"
    return harvest(model, "stories", list(sae.reads), tokens=1500, out=out, config=HarvestConfig(context=64))


@pytest.fixture(scope="module")
def sentences():
    told = " ".join(corpus("stories").documents())
    return [one for one in dict.fromkeys(re.split(r"(?<=[.!?]) ", told)) if len(one.split()) > 3]


@pytest.fixture(scope="module")
def classes():
    return {name: [frame + word for frame in FRAMES for word in words.split()] for name, words in CLASSES.items()}


@pytest.fixture(scope="module")
def found(model, sae, store, sentences, classes):
    of_her = {"a girl": [(one, "she" in one.lower().split()) for one in sentences]}
    again = {"untrained": untrained(sae.geometry, sae.architecture, seed=5)}
    return measure(sae, store, model=model, concepts=of_her, classes=classes, reseeded=again, config=CONFIG)


def test_all_that_is_given_further_is_evidence_with_its_nulls(found):
    baselines = {"pca", "random", "neurons"}
    nulls = {
        "sparse probing (k=1): a girl": baselines | {"shuffled labels", "words alone"},
        "sparse probing (k=5): a girl": baselines | {"shuffled labels", "words alone"},
        "absorption, full": baselines,
        "absorption, fraction": baselines,
        "mean max cosine between seeds": {"random directions", "coordinates shuffled among units"},
        "units shared between seeds": {"random directions", "coordinates shuffled among units"},
    }
    for name, expected in nulls.items():
        one = found[name]
        assert isinstance(one, Measurement)
        assert {null.name for null in one.nulls} == expected
        assert 0 <= one.value <= 1
    assert {null.higher_is_better for null in found["absorption, full"].nulls} == {False}


def test_units_tell_a_concept_better_than_shuffled_labels_and_words_tell_it_as_well(found):
    five = found["sparse probing (k=5): a girl"]
    by_name = {null.name: null for null in five.nulls}
    assert five.beats(by_name["shuffled labels"])
    assert by_name["words alone"].mean >= five.value - 0.1
    assert by_name["shuffled labels"].mean == pytest.approx(0.5, abs=0.1)


def test_a_dictionary_finds_itself_and_an_untrained_one_is_no_better_than_chance(found, sae):
    itself = agree(sae, {"itself": sae}, config=CONFIG)
    for name, value in {"mean max cosine between seeds": 1.0, "units shared between seeds": 1.0}.items():
        assert itself[name].value == pytest.approx(value, abs=1e-6)
        assert all(itself[name].beats(null) for null in itself[name].nulls)
        assert found[name].value < 0.5
        assert found[name].null.advantage < 0.05


def test_what_cannot_be_asked_is_refused(model, sae, store, classes):
    with pytest.raises(UnknownName, match="no argument of measure is called 'concept'"):
        measure(sae, store, model=model, concept={})
    with pytest.raises(MicrotomeError, match="classes without a model"):
        measure(sae, store, classes=classes)
    few = {name: texts[:3] for name, texts in classes.items()}
    with pytest.raises(WrongUse, match="3 texts of 'animals'"):
        absorbed(sae, model, few, others={"neurons": beside(sae, "neurons")})
    with pytest.raises(WrongUse, match="no other dictionary"):
        agree(sae, {})
    with pytest.raises(WrongUse, match="both labels for the text 'a'"):
        labelled("x", [("a", True), ("a", False)])
    with unchecked(), pytest.raises(WrongUse, match="no pair of a text and a bool"):
        labelled("x", [("a", 1)])
