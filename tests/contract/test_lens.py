"""What one looks at before tracing, on every family: predictions, the logit lens, direct logit attribution."""

import pytest
import torch

from microtome.core.errors import NotFound, SiteNotFound, WrongUse
from microtome.model import edits
from microtome.model.direct_attribution import DirectAttribution
from microtome.model.model import Model
from tiny_llama import tiny_tokenizer
from tiny_models import FAMILIES, tiny_model
from two_devices import TwoDevices

IDS = [5, 11, 3, 17, 8]
ROUNDED = 1e-6  # RMS norms of transformers round to float32, and their formula does not


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def talking():
    bare = tiny_model("llama", vocab_size=260)
    return Model(bare.module, tiny_tokenizer(), bare.anatomy, name="talking", fingerprint="0" * 16)


def uncapped(model, logits):
    cap = model.anatomy.softcap
    return logits if cap is None else torch.atanh(logits / cap) * cap


def test_predictions_are_the_logits_in_order(model):
    logits = model.run(IDS)["logits"][0, -1].float()
    found = model.predict(IDS, top=3)
    best = logits.argsort(descending=True)[:3]
    assert found.ids == tuple(best.tolist())
    assert found.tokens == tuple(f"<{one}>" for one in best.tolist())
    torch.testing.assert_close(torch.tensor(found.logits), logits[best], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.tensor(found.probabilities), logits.softmax(0)[best], rtol=1e-6, atol=1e-6)
    assert len(model.predict(IDS, top=1000).ids) == 97


def test_named_tokens_have_their_rank_in_the_order_asked(model):
    logits = model.run(IDS)["logits"][0, -1].float()
    found = model.predict(IDS, tokens=[40, 3, 8])
    assert found.ids == (40, 3, 8)
    order = logits.argsort(descending=True).tolist()
    assert found.ranks == tuple(order.index(one) + 1 for one in (40, 3, 8))
    assert found.logits == tuple(logits[[40, 3, 8]].tolist())
    assert model.predict(IDS, top=4).ranks == (1, 2, 3, 4)


def test_the_lens_follows_a_target_through_the_depths(model):
    lens = model.logit_lens(IDS, target=7)
    assert repr(lens) == "LogitLens(4 depths, 5 tokens, '<7>')"
    assert lens.target is not None
    logits = model.run(IDS)["logits"][0].float()
    torch.testing.assert_close(lens.target.logits[-1], logits[:, 7], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lens.target.probabilities[-1], logits.softmax(-1)[:, 7], rtol=1e-5, atol=1e-7)
    assert lens.target.ranks[-1].tolist() == ((logits > logits[:, 7:8]).sum(-1) + 1).tolist()
    best = int(model.run(IDS)["logits"][0, -1].argmax())
    assert model.logit_lens(IDS, target=best).target.ranks[-1, -1] == 1


def test_the_lens_ends_at_the_models_own_logits(model):
    lens = model.logit_lens(IDS)
    assert repr(lens) == "LogitLens(4 depths, 5 tokens)"
    assert lens.depths == (*(f"resid.{i}" for i in range(3)), "resid.final")
    chance, best = model.run(IDS)["logits"][0].float().softmax(-1).max(-1)
    assert lens.tokens[-1] == tuple(f"<{one}>" for one in best.tolist())
    torch.testing.assert_close(lens.probabilities[-1], chance, rtol=1e-6, atol=1e-7)


def test_the_lens_at_a_depth_is_the_model_with_its_last_layers_left_out(model):
    early = model.run(IDS, ["resid.1"])["resid.1"]
    skipped = model.run(IDS, edits=[edits.set("resid.final", early)])["logits"][0].float().softmax(-1).max(-1)
    lens = model.logit_lens(IDS)
    assert lens.tokens[1] == tuple(f"<{one}>" for one in skipped.indices.tolist())
    torch.testing.assert_close(lens.probabilities[1], skipped.values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("position", [-1, 2])
def test_direct_attribution_sums_to_the_logit_difference(model, position):
    logits = uncapped(model, model.run(IDS)["logits"])[0, position]
    for target, against in ((7, 4), (3, None)):
        found = model.direct_attribution(IDS, target, against, position=position)
        expected = logits[target] - (logits.mean() if against is None else logits[against])
        size = sum(map(abs, found.parts.values()))
        assert found.value == pytest.approx(float(expected), abs=ROUNDED * size)
        assert list(found.parts) == [
            "embed",
            *(f"{branch}.out.{i}" for i in range(3) for branch in ("attn", "mlp")),
            "bias",
        ]


def test_a_parts_attribution_is_what_the_logits_lose_without_it(model):
    """With the final norm's scale held, by hand: the stream's end without the part, through the norm's linear map."""
    found = model.direct_attribution(IDS, 7, 4)
    run = model.run(IDS, ["resid.final", "attn.out.1"])
    end, part = run["resid.final"][0, -1], run["attn.out.1"][0, -1]
    norm = model.anatomy.final_norm
    whole, less = (
        norm.push(x, norm.scale(end)) @ (model.anatomy.w_u[7] - model.anatomy.w_u[4]) for x in (end, end - part)
    )
    assert found.parts["attn.out.1"] == pytest.approx(float(whole - less), abs=1e-9)


def test_heads_divide_what_attention_adds(model):
    """Linear in each head's mix: zeroing one head takes its share, where no norm stands behind the branch."""
    found = model.direct_attribution(IDS, 7, 4)
    layer = model.anatomy.layers[1]
    constant = model.run(IDS, ["attn.out.1"], edits=[edits.set("attn.heads.1", 0.0)])["attn.out.1"][0, -1]
    norm = model.anatomy.final_norm
    end = model.run(IDS, ["resid.final"])["resid.final"][0, -1]
    read = norm.pull(model.anatomy.w_u[7] - model.anatomy.w_u[4], norm.scale(end))
    assert found.heads.shape == (3, 4)
    if layer.attn_post_norm is None:
        whole = found.parts["attn.out.1"]
        assert float(found.heads[1].sum() + constant @ read) == pytest.approx(whole, abs=1e-9)
        without = model.run(IDS, ["attn.out.1"], edits=[edits.set("attn.heads.1", 0.0, units=2)])["attn.out.1"][0, -1]
        assert float(found.heads[1, 2]) == pytest.approx(whole - float(without @ read), abs=1e-9)
    elif layer.b_o is None:
        assert float(found.heads[1].sum()) == pytest.approx(found.parts["attn.out.1"], abs=ROUNDED)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("against", [4, None])
def test_direct_attribution_needs_no_float64_on_the_models_device(family, against, monkeypatch):
    model = tiny_model(family, torch.float32)
    expected = model.direct_attribution(IDS, 7, against)
    with TwoDevices(monkeypatch):
        found = model.direct_attribution(IDS, 7, against)
    assert found.parts == pytest.approx(expected.parts, rel=1e-9)


def test_what_is_printed_of_a_target(talking):
    lines = str(talking.logit_lens("the a", target="the")).splitlines()
    assert lines[0] == "'the' after ' a'"
    assert lines[1].split() == ["rank", "logit", "probability", "best"]
    assert [line.split()[0] for line in lines[2:]] == ["resid.0", "resid.1", "resid.2", "resid.final"]
    assert "rank" in str(talking.predict("the a", tokens=["the", " a"]))
    assert "rank" not in str(talking.predict("the a"))
    with pytest.raises(WrongUse, match=r'a list of tokens, such as tokens=\[" Paris"\]'):
        talking.predict("the a", tokens="the")


def test_bytes_that_are_no_text_are_told_from_one_another(talking):
    assert talking.tokens("ä the") == ["<C3>", "<A4>", " ", "the"]
    assert talking.predict("ä", tokens=talking.batch("ä").tokens[0]).tokens == ("<C3>", "<A4>")


def test_tables_in_notebooks(talking):
    lens = talking.logit_lens("the a", target="the")._repr_html_()
    assert "<table" in lens
    assert "resid.final" in lens
    assert "<table" in talking.logit_lens("the a")._repr_html_()
    assert "<table" in talking.predict("the a")._repr_html_()
    direct = talking.direct_attribution("the a", "the", " a")._repr_html_()
    assert "attn.out.1" in direct


def test_tokens_by_text(talking):
    found = talking.direct_attribution("the a", "the", " a")
    ids = [talking.tokenizer(text)["input_ids"][0] for text in ("the", " a")]
    assert found.value == talking.direct_attribution("the a", *ids).value
    assert (found.target, found.against, found.position) == ("the", " a", -1)
    assert str(found).splitlines()[0] == f"'the' against ' a' at position -1: {found.value:.3f}"
    assert "the mean logit" in str(talking.direct_attribution("the a", "the"))
    with pytest.raises(NotFound, match="makes 2 tokens of it: 'the' \\+ 'the'"):
        talking.direct_attribution("the a", "thethe")


def test_what_is_not_shown_is_summed():
    found = DirectAttribution(" a", None, -1, {f"mlp.out.{i}": float(i) for i in range(15)}, torch.zeros(1, 1))
    lines = str(found).splitlines()
    assert len(lines) == 14
    assert lines[1].split() == ["mlp.out.14", "14.000"]
    assert lines[-1] == "3 others          3.000   (the 12 largest of 15 are shown)"
    assert repr(found) == "DirectAttribution(' a' against the mean logit at position -1: 105.000, 15 parts)"


def test_lenses_and_predictions_are_under_the_edits_in_force(talking):
    before = talking.direct_attribution("the a", "the").parts
    with talking.edit(edits.scale("mlp.out.2", 3.0)):
        after = talking.direct_attribution("the a", "the").parts
        assert talking.logit_lens("the a").probabilities[-1, -1] == pytest.approx(
            talking.predict("the a").probabilities[0], rel=1e-6
        )
    assert after["embed"] != before["embed"]  # the final norm has another scale


@pytest.mark.parametrize("look", ["predict", "logit_lens"])
def test_one_prompt_at_a_time(model, look):
    with pytest.raises(WrongUse, match="2 rows"):
        getattr(model, look)([IDS, IDS[:2]])
    with pytest.raises(WrongUse, match="2 rows"):
        model.direct_attribution([IDS, IDS[:2]], 3)


def test_what_cannot_be_looked_at(talking):
    with pytest.raises(WrongUse, match="top=0"):
        talking.predict("the a", top=0)
    with pytest.raises(SiteNotFound, match="row 0 of the batch has 2 tokens"):
        talking.direct_attribution("the a", "the", position=2)
    for item in (260, -1):
        with pytest.raises(WrongUse, match="a vocabulary of 260"):
            talking.direct_attribution("the a", item)
    with pytest.raises(WrongUse, match="without a tokenizer"):
        tiny_model("llama").direct_attribution(IDS, "the")


@pytest.mark.real
def test_on_a_real_model(smollm2):
    prompt = "The capital of France is"
    logits = smollm2.run(prompt)["logits"][0, -1]
    paris, berlin = (smollm2.tokenizer(text)["input_ids"][0] for text in (" Paris", " Berlin"))
    found = smollm2.direct_attribution(prompt, " Paris", " Berlin")
    assert found.value == pytest.approx(float(logits[paris] - logits[berlin]), abs=1e-3)
    assert smollm2.predict(prompt, top=1).tokens == (" Paris",)
    assert smollm2.logit_lens(prompt).tokens[-1][-1] == " Paris"
    with smollm2.edit(edits.ablate("mlp.out.*", to="mean", positions=-1)):
        assert smollm2.predict(prompt, top=1).probabilities[0] < 0.5
    assert smollm2.predict(prompt, top=1).tokens == (" Paris",)
