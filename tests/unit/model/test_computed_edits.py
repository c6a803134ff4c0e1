"""Edits whose value is a function of the site's tensor, called in the middle of the pass."""

import pytest
import torch

import microtome as mt
from microtome.core.errors import EditTouchedNothing, WrongUse

IDS = [5, 9, 11, 4]


def test_a_function_sees_the_tensor_and_gives_what_goes_on(tiny):
    model = tiny("llama")
    before = model.run(IDS, ["attn.q.1", "logits"])
    seen = []

    def halved(x):
        seen.append(x)
        return x / 2

    after = model.run(IDS, ["attn.q.1", "logits"], edits=mt.set("attn.q.1", halved))
    assert torch.equal(seen[0], before["attn.q.1"])
    torch.testing.assert_close(after["attn.q.1"], before["attn.q.1"] / 2, rtol=0, atol=0)
    scaled = model.run(IDS, edits=mt.scale("attn.q.1", 0.5))
    assert torch.equal(after["logits"], scaled["logits"])


def test_a_pattern_calls_it_at_every_site(tiny):
    model, seen = tiny("gpt2"), []
    model.run(IDS, edits=mt.set("mlp.out.*", lambda x: seen.append(x.shape) or x, may_be_empty=True))
    assert seen == [torch.Size([1, 4, 24])] * 3


def test_the_same_object_back_changes_nothing_and_says_so(tiny):
    model = tiny("gpt2")
    same = mt.set("resid.1", lambda x: x, may_be_empty=True)
    assert torch.equal(model.run(IDS, edits=same)["logits"], model.run(IDS)["logits"])
    with pytest.raises(EditTouchedNothing):
        model.run(IDS, edits=mt.set("resid.1", lambda x: x))


def test_gradients_go_through_it_or_are_cut_by_it(tiny):
    model = tiny("gpt2")

    def gradient(*edits):
        return model.run(IDS, ["embed"], backward=lambda logits: logits[0, -1, 7], edits=edits).grad["embed"]

    cut = mt.set("attn.out.*", lambda x: x.detach(), may_be_empty=True)
    twice = mt.set("attn.out.*", lambda x: x.clone(), may_be_empty=True)
    assert torch.equal(gradient(twice), gradient())
    assert not torch.allclose(gradient(cut), gradient())
    assert gradient(cut)[0, :-1].abs().max() == 0  # without attention no token but the last reaches the answer
    assert gradient()[0, :-1].abs().max() > 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: mt.set("resid.1", torch.relu, positions=1),
        lambda: mt.set("resid.1", torch.relu, where=torch.ones(1, 4, dtype=torch.bool)),
    ],
)
def test_a_function_replaces_a_whole_site_and_nothing_else(make):
    with pytest.raises(WrongUse, match="a function as the value"):
        make()


def test_what_it_gives_has_the_shape_of_the_site(tiny):
    with pytest.raises(WrongUse, match=r"\[1, 4, 24\] one of shape \[4, 24\]"):
        tiny("gpt2").run(IDS, edits=mt.set("resid.1", lambda x: x[0]))
    with pytest.raises(WrongUse, match="a NoneType"):
        tiny("gpt2").run(IDS, edits=mt.set("resid.1", lambda x: None))
