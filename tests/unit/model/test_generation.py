"""Generation: the text is what step-by-step runs give, whatever the model's settings; what was captured on the way."""

import pytest
import torch
from transformers import GenerationConfig

from microtome.core.errors import NotSupported, WrongUse
from microtome.model import edits
from microtome.model.decoding import Decoding, GenerationWarning
from microtome.model.generation import generate
from microtome.model.model import Model
from tiny_llama import tiny_tokenizer
from tiny_models import tiny_model

IDS = [5, 11, 3, 17, 8]
NEW = 6


def endless(family: str = "llama") -> Model:
    """A model whose texts do not end by themselves, and that says many things."""
    model = tiny_model(family, seed=3)
    model.module.generation_config.eos_token_id = None
    return model


@pytest.fixture
def model():
    return endless()


def by_runs(model: Model, edit: edits.Edit, prompt: list[int] = IDS) -> list[int]:
    """New tokens of one run a token, each on the whole text: without a cache, and without `generate`."""
    ids = list(prompt)
    for _ in range(NEW):
        ids.append(int(model.run(ids, edits=edit)["logits"][0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("site", ["attn.v.1", "attn.k.1", "attn.pattern.1", "attn.scores.1", "resid.1"])
@pytest.mark.parametrize(
    "settings",
    [
        {"cache_implementation": "static"},
        {"prompt_lookup_num_tokens": 3},
        {"prefill_chunk_size": 2},
        {"use_cache": False},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_of_speed_change_no_edit_and_no_token(model, site, settings):
    """Static caches are longer than what they hold; drafts are read several at once: positions would move."""
    edit = edits.scale(site, -6.0, positions=[3, 4])
    expected = by_runs(model, edit)
    assert expected != by_runs(model, edits.scale("resid.0", 1.0, may_be_empty=True))
    model.module.generation_config.update(**settings)
    assert generate(model, IDS, Decoding(NEW), edits=edit).ids[0].tolist() == expected


@pytest.mark.parametrize(
    "settings",
    [{"num_beams": 3}, {"repetition_penalty": 5.0}, {"suppress_tokens": list(range(50))}, {"min_new_tokens": 5}],
    ids=lambda settings: next(iter(settings)),
)
def test_settings_that_take_other_tokens_are_left_out_aloud(model, settings):
    rows = [IDS, IDS[:3]]
    edit = edits.scale("attn.v.1", 2.0)
    expected = [by_runs(model, edit, row) for row in rows]
    model.module.generation_config.update(**settings)
    name, value = next(iter(settings.items()))
    with pytest.warns(GenerationWarning, match="without the model's own settings") as said:
        found = generate(model, rows, Decoding(NEW), edits=edit).ids
    assert [row[: len(own)] for row, own in zip(found.tolist(), expected, strict=True)] == expected
    assert str(said[0].message) == (
        f"the text is generated without the model's own settings {name}={value!r}; own_settings=True applies them"
    )


def test_own_settings_are_applied_where_asked_for(model):
    plain = generate(model, IDS, Decoding(NEW)).ids[0].tolist()
    model.module.generation_config.update(suppress_tokens=plain)
    found = generate(model, IDS, Decoding(NEW, own_settings=True)).ids[0].tolist()
    assert not set(found) & set(plain)


def test_own_settings_that_take_tokens_otherwise_than_one_by_one_are_refused(model):
    model.module.generation_config.update(num_beams=3)
    with pytest.raises(NotSupported) as refused:
        generate(model, IDS, Decoding(NEW, own_settings=True))
    assert str(refused.value) == (
        "generate with the model's own settings\n"
        "  found: num_beams=3 in its generation_config\n"
        "  do:    leave own_settings out, or take that setting out of `module.generation_config`: tokens are taken "
        "one by one, in one row a prompt"
    )


def test_the_best_token_needs_no_setting_of_draws(model, recwarn):
    model.module.generation_config.update(temperature=0.5, top_p=0.9, top_k=3)
    generate(model, IDS, Decoding(2))
    assert not recwarn.list


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.2, "top_k": 5, "top_p": 0.5}], ids=["none", "own"])
def test_draws_are_from_the_whole_distribution(settings):
    """The 97 tokens of a nearly flat distribution all appear in 2,000 draws; transformers' top-50 keeps 50."""
    model = tiny_model("llama")
    rows = [IDS] * 2000
    flat = edits.scale("logits", 0.01)
    if settings:
        model.module.generation_config.update(**settings)
        with pytest.warns(GenerationWarning, match=r"temperature=0.2, top_k=5, top_p=0.5"):
            drawn = generate(model, rows, Decoding(1, sample=True), edits=flat).ids
    else:
        drawn = generate(model, rows, Decoding(1, sample=True), edits=flat).ids
    assert len(drawn.unique()) == 97


def test_own_settings_of_draws_are_applied_where_asked_for():
    model = tiny_model("llama")
    model.module.generation_config.update(top_k=5)
    drawn = generate(model, [IDS] * 500, Decoding(1, sample=True, own_settings=True)).ids
    best = model.run(IDS)["logits"][0, -1].topk(5).indices
    assert set(drawn.flatten().tolist()) == set(best.tolist())


def test_the_settings_are_as_they_were(model):
    model.module.generation_config.update(cache_implementation="static", top_k=5)
    before = model.module.generation_config.to_dict()
    generate(model, IDS, Decoding(2))
    assert model.module.generation_config.to_dict() == before


def test_no_setting_of_transformers_is_unknown():
    """A setting of a new version is neutral at None, or has its row in a table of `decoding`."""
    from microtome.model.decoding import ENDS, HONOURED, PASSES, UNUSED, WITHOUT_EFFECT

    refused = {
        "max_time", "stop_strings", "token_healing", "guidance_scale", "penalty_alpha", "dola_layers", "constraints",
        "force_words_ids",
    }  # fmt: skip
    known = ENDS | HONOURED | PASSES.keys() | UNUSED | WITHOUT_EFFECT.keys() | refused
    assert {name for name in GenerationConfig().to_dict() if not name.startswith("_")} <= known


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_positions_end_where_the_model_was_made_to_end(family):
    model = tiny_model(family)  # for 64 positions
    assert generate(model, [3] * 60, Decoding(5)).ids.shape[1] <= 5
    with pytest.raises(WrongUse) as refused:
        generate(model, [3] * 60, Decoding(6))
    assert str(refused.value) == (
        "generate\n"
        "  found: a prompt of 60 tokens and 6 new ones\n"
        "  do:    ask for 5 at most: the model was made for 64 positions (max_position_embeddings)"
    )


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
def test_captured_while_generating_is_what_a_run_of_the_whole_text_has(family):
    model = endless(family)
    rows = [IDS, IDS[:3]]
    edit = edits.scale("resid.1", 1.5)
    sites = ["embed", "resid.2", "mlp.neurons.1", "attn.heads.0", "attn.v.1", "logits"]
    found = generate(model, rows, Decoding(NEW), capture=sites, edits=edit)
    assert list(found) == sites
    for i, row in enumerate(rows):
        whole = [*row, *found.ids[i, :-1].tolist()]
        run = model.run(whole, sites, edits=edit)
        for name in sites:
            torch.testing.assert_close(found[name][i, : len(whole)], run[name][0], rtol=1e-6, atol=1e-9)
            assert not found[name][i, len(whole) :].any()
    assert repr(found) == "Generated(2 rows of 6 new tokens, 6 sites)"


def test_new_tokens_edited_by_a_function_are_captured_so(model):
    edit = edits.set("resid.1", lambda x: x * 2, positions="new")
    found = generate(model, IDS, Decoding(NEW), capture=["resid.1"], edits=edit)
    plain = generate(model, IDS, Decoding(NEW), capture=["resid.1"])
    assert torch.equal(found["resid.1"][0, :5], plain["resid.1"][0, :5])
    torch.testing.assert_close(found["resid.1"][0, 5], 2 * plain["resid.1"][0, 5])


def test_what_grows_with_each_token_is_not_captured(model):
    with pytest.raises(WrongUse) as refused:
        generate(model, IDS, capture=["attn.pattern.*"])
    assert str(refused.value) == (
        "capture attn.pattern.0 in generation\n"
        "  found: an axis of keys, which is longer at each token\n"
        "  do:    generate first, then run the prompt with its new ids: model.run([*ids, *new], capture=[…])"
    )


def test_texts_need_a_tokenizer():
    bare = tiny_model("llama", vocab_size=260)
    with pytest.raises(WrongUse, match="a model without a tokenizer"):
        _ = generate(bare, IDS, Decoding(2)).texts
    talking = Model(bare.module, tiny_tokenizer(), bare.anatomy, name="", fingerprint="")
    edit = edits.scale("resid.1", 3.0)
    with talking.edit(edit):
        inside = talking.generate("the a", max_new_tokens=3)
    assert talking.generate("the a", max_new_tokens=3, edits=edit) == inside
    assert not talking.edited
