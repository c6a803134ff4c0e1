"""Little language models: what is fitted predicts, and a run that was stopped goes on as if it had not been."""

import math

import pytest
import torch

from microtome.activations.config import ReadingConfig
from microtome.core.errors import WrongUse
from microtome.toy.fit import NOT_ASKED, Fit, FitConfig, fit, padded
from microtome.toy.vocabulary import END, vocabulary
from microtome.train import checkpoint
from tiny_llama import tiny_llama, tiny_tokenizer

ANIMALS = ("dog", "cat", "cow", "pig", "hen", "fox", "bee", "ant")
TEXTS = tuple(f"the {a} sees the {b}. the {b} sees the {a}." for a in ANIMALS for b in ANIMALS)
READING = ReadingConfig(context=64, batch_rows=8)
CONFIG = FitConfig(tokens=20_000, lr=3e-3, log_every="10%", decay="50%")


def weights(module):
    return {name: weight.detach().clone() for name, weight in module.named_parameters()}


def test_a_fitted_model_predicts_what_it_read():
    module, tokenizer = tiny_llama(), tiny_tokenizer()
    losses = fit(module, tokenizer, TEXTS, CONFIG, reading=READING)
    assert len(losses) == 10
    assert losses[0].nats > 2.0
    # Each of two animals is one of eight, over some 40 bytes: no model can do better than this.
    assert 2 * math.log(8) / 42 < losses[-1].nats < 0.4
    assert not module.training
    prompt = tokenizer("the dog sees the cow. the cow sees the", return_tensors="pt").input_ids
    said = module.generate(prompt, max_new_tokens=4, do_sample=False, pad_token_id=0)[0, prompt.shape[1] :]
    assert tokenizer.decode(said) == " dog"


class StoppedError(Exception):
    pass


def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, monkeypatch):
    whole, stopped, tokenizer = tiny_llama(), tiny_llama(), tiny_tokenizer()
    config = FitConfig(tokens=4000, log_every="10%", checkpoint_every="25%")
    expected = fit(whole, tokenizer, TEXTS, config, reading=READING)
    learn, steps = Fit._learn, []

    def breaks_off(self, ids, targets):
        if len(steps) == 6:
            raise StoppedError
        steps.append(len(ids))
        learn(self, ids, targets)

    with monkeypatch.context() as patched:
        patched.setattr(Fit, "_learn", breaks_off)
        with pytest.raises(StoppedError):
            fit(stopped, tokenizer, TEXTS, config, reading=READING, out=tmp_path)
    assert 0 < checkpoint.read(tmp_path)["at"] < 4000
    again = tiny_llama(seed=1)  # the checkpoint alone counts
    found = fit(again, tokenizer, TEXTS, config, reading=READING, out=tmp_path)
    assert found == expected
    assert all(torch.equal(weights(whole)[name], weight) for name, weight in weights(again).items())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_run_is_refused(tmp_path):
    tokenizer, asked = tiny_tokenizer(), {"reading": READING, "out": tmp_path}
    run = Fit(tiny_llama(), _contexts(tokenizer), FitConfig(tokens=2000))
    run._learn(*padded([[0, 5, 6], [0, 7, 8]], torch.device("cpu")))
    checkpoint.write(tmp_path, run.state())
    with pytest.raises(WrongUse) as error:
        fit(tiny_llama(), tokenizer, TEXTS, FitConfig(tokens=3000), **asked)
    assert str(error.value) == (
        "go on with fitting a language model\n"
        "  found: a run with another network, other texts or settings\n"
        "  do:    fit it as before, or in another folder"
    )


def _contexts(tokenizer):
    from microtome.activations.contexts import Contexts
    from microtome.data.corpus import corpus_of

    return Contexts(corpus_of(TEXTS), tokenizer, READING)


def test_what_is_filled_up_is_not_asked_for():
    ids, targets = padded([[1, 2, 3], [4, 5]], torch.device("cpu"))
    assert ids.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert targets.tolist() == [[2, 3, NOT_ASKED], [5, NOT_ASKED, NOT_ASKED]]


def test_the_rate_rises_to_one_and_falls_to_zero():
    config = FitConfig(tokens=1000, warm_up="10%", decay="50%")
    assert [round(config.rate(at), 3) for at in (0, 49, 99, 500, 750, 1000, 1100)] == [0.01, 0.5, 1, 1, 0.5, 0, 0]


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"lr": 0.0}, {"clip": -1.0}])
def test_settings_out_of_range_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(WrongUse) as error:
        FitConfig(**wrong)
    assert str(error.value) == (f"fit a language model\n  found: {name} = {value}\n  do:    give a {name} above zero")


def test_a_vocabulary_says_anything_and_its_own_texts_in_few_tokens():
    tokenizer = vocabulary(TEXTS, size=300)
    assert tokenizer("the dog")["input_ids"][0] == tokenizer.bos_token_id == tokenizer.convert_tokens_to_ids(END)
    assert tokenizer.decode(tokenizer.encode("Καλημέρα, ¿qué?", add_special_tokens=False)) == "Καλημέρα, ¿qué?"
    assert len(tokenizer.encode(TEXTS[0], add_special_tokens=False)) < len(TEXTS[0]) / 2
    assert len(tokenizer) <= 300


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(WrongUse) as error:
        vocabulary(TEXTS, size=100)
    assert str(error.value) == ("learn a vocabulary\n  found: size=100\n  do:    give more than 256, one for each byte")
