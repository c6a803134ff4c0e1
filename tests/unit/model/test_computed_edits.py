"""Edits whose value is a function of the site's tensor, called in the middle of the pass."""

import pytest
import torch

import microtome as mt
from microtome.core.errors import EditTouchedNothing, WrongUse
from unchecked import unchecked

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
    "places",
    [
        {"positions": [1, -1]},
        {"units": [1, 0]},
        {"positions": 2, "units": [1]},
        {"positions": [[0], [-1]]},
        {"where": torch.tensor([[True, False, True, True], [False, True, True, False]])},
    ],
    ids=lambda places: "+".join(places),
)
@pytest.mark.parametrize("site", ["resid.1", "attn.heads.1", "attn.pattern.1"])
def test_what_it_gives_is_taken_at_the_places_named(tiny, site, places):
    """Doubling by a function is scaling by two there, in padded rows and at any site."""
    model = tiny("llama")
    if site == "attn.pattern.1" and "where" in places:
        places = {"where": places["where"][:, None, :, None].expand(2, 4, 4, 4)}
    for padding in ("left", "right"):
        doubled, scaled = (
            model.run([IDS, IDS[:3]], [site, "logits"], edits=edit, padding=padding)
            for edit in (mt.set(site, lambda x: x * 2, **places), mt.scale(site, 2.0, **places))
        )
        assert torch.equal(doubled[site], scaled[site])
        assert torch.equal(doubled["logits"], scaled["logits"])


def test_a_site_and_a_function_are_an_edit(tiny):
    """As hooks are given in other tools: a pair, several pairs, or a mapping."""
    model = tiny("llama")
    expected = model.run(IDS, edits=[mt.set("resid.1", torch.relu), mt.set("mlp.out.2", torch.tanh)])["logits"]
    pairs = [("resid.1", torch.relu), ("mlp.out.2", torch.tanh)]
    for given in (pairs, tuple(pairs), dict(pairs)):
        assert torch.equal(model.run(IDS, edits=given)["logits"], expected)
    one = model.run(IDS, edits=mt.set("resid.1", torch.relu))["logits"]
    assert torch.equal(model.run(IDS, edits=pairs[0])["logits"], one)
    with model.edit(pairs[0]):
        assert torch.equal(model.run(IDS)["logits"], one)
    with model.edit(dict(pairs)):
        assert torch.equal(model.run(IDS)["logits"], expected)
    mixed = [mt.set("resid.1", torch.relu), {"mlp.out.2": torch.tanh}]
    assert torch.equal(model.run(IDS, edits=mixed)["logits"], expected)
    assert model.predict(IDS, edits=pairs).ids[0] == int(expected[0, -1].argmax())
    lens = model.logit_lens(IDS, edits=pairs)
    assert lens.probabilities[-1, -1] == pytest.approx(float(expected[0, -1].float().softmax(-1).max()))
    assert not model.edited


def test_adding_a_function_says_what_to_do():
    with unchecked(), pytest.raises(WrongUse) as refused:
        mt.add("resid.1", torch.relu)
    assert str(refused.value) == (
        "add at resid.1\n"
        "  found: a function as the value\n"
        "  do:    set(site, function) with a function that does the whole of it"
    )


def test_what_it_gives_has_the_shape_of_the_site(tiny):
    with pytest.raises(WrongUse, match=r"\[1, 4, 24\] one of shape \[4, 24\]"):
        tiny("gpt2").run(IDS, edits=mt.set("resid.1", lambda x: x[0]))
    with pytest.raises(WrongUse, match="a NoneType"):
        tiny("gpt2").run(IDS, edits=mt.set("resid.1", lambda x: None))
