"""Edits as values: what they refuse, how they combine, and laws that hold whatever the numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from microtome.core.errors import EditTouchedNothing, NotSupported, SiteNotFound, WrongUse
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.generation import generate
from tiny_models import tiny_model, tiny_module
from unchecked import unchecked

IDS = [5, 11, 3, 17, 8]
D = 24
SITES = ("embed", "resid.1", "attn.q.0", "attn.pattern.1", "attn.heads.2", "mlp.neurons.1", "norm.final", "logits")


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clean(model):
    return model.run(IDS, model.sites())


REFUSED = {
    "a position twice": (lambda: edits.add("resid.1", 1.0, positions=[1, 1]), "positions named twice in (1, 1)"),
    "no positions": (lambda: edits.add("resid.1", 1.0, positions=[]), "an empty list of positions"),
    "half a position": (lambda: edits.add("resid.1", 1.0, positions=1.5), "positions such as 1.5"),
    "a mask as units": (lambda: edits.add("resid.1", 1.0, units=torch.ones(D) > 0), "units such as True"),
    "another word": (lambda: edits.add("resid.1", 1.0, positions="old"), "positions='old'"),
    "a word as value": (lambda: edits.set("resid.1", "zero"), "a value of type str"),
    "a list as value": (lambda: edits.set("resid.1", [1.0]), "a value of type list"),
    "a mask of numbers": (lambda: edits.set("resid.1", 0.0, where=torch.ones(1, 5, D)), "a mask of torch.float32"),
    "a mask as a list": (lambda: edits.set("resid.1", 0.0, where=[[True] * 5]), "a mask of list"),
    "a mask beside units": (
        lambda: edits.set("resid.1", 0.0, units=1, where=torch.ones(1, 5, D) > 0),
        "a mask beside positions or units",
    ),
    "another aim": (lambda: edits.ablate("resid.1", to="null"), "to='null'"),
    "no source": (lambda: edits.ablate("resid.1", to="counterfactual"), "no `source` prompt"),
    "a source for zero": (lambda: edits.ablate("resid.1", source="text"), "a `source`"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_means_nothing_is_refused_where_it_is_written(case):
    make, found = REFUSED[case]
    with unchecked(), pytest.raises(WrongUse) as error:
        make()
    assert error.value.found == found


@pytest.mark.parametrize("wrong", [3, "resid.1", [edits.add("resid.1", 1.0)]])
def test_what_is_no_edit_is_said(model, wrong):
    with pytest.raises(WrongUse) as error, unchecked(), model.edit(wrong):
        pass
    assert error.value.what == "edit the model"
    assert error.value.found.endswith(f"(of type {type(wrong).__name__}), which is no edit")


@pytest.mark.parametrize("count", [0, -1])
def test_no_token_cannot_be_generated(model, count):
    with pytest.raises(WrongUse) as error:
        generate(model, IDS, Decoding(count))
    assert error.value.found == f"max_new_tokens={count}"


@pytest.mark.parametrize("one", [3, np.int64(3), torch.tensor(3), [3], np.array([3]), torch.tensor([3]), range(3, 4)])
def test_whole_numbers_of_every_make_are_positions(one):
    assert edits.add("resid.1", 1.0, positions=one).positions == (3,)


def test_an_edit_says_what_it_is():
    long = edits.scale("mlp.neurons.*", 2.0, positions="new", units=range(9))
    assert str(long) == "scale at mlp.neurons.*, positions new, units (0, 1, 2, 3, 4, … 9 in all)"
    assert repr(edits.add("embed", torch.ones(D))) == "Edit(add at embed)"
    assert str(edits.set("embed", 0.0, where=torch.ones(1, 5) > 0)) == "set at embed, where a mask [1, 5] is true"


NOWHERE = {
    "a kind": (edits.add("mlp.neuron.1", 1.0), SiteNotFound, "the closest are 'mlp.neurons'"),
    "a layer": (edits.add("resid.3", 1.0), SiteNotFound, "layer 3, but this model has layers 0 to 2"),
    "a position": (edits.add("resid.1", 1.0, positions=5), SiteNotFound, "row 0 of the batch has 5 tokens"),
    "from the end": (edits.add("resid.1", 1.0, positions=-6), SiteNotFound, "row 0 of the batch has 5 tokens"),
    "a unit": (edits.add("resid.1", 1.0, units=D), SiteNotFound, "unit 24, but resid.1 has units 0 to 23"),
    "one token twice": (edits.add("resid.1", 1.0, positions=[-1, 4]), WrongUse, "one token of row 0, which has 5"),
    "one unit twice": (edits.add("resid.1", 1.0, units=[-1, 23]), WrongUse, "one, of the 24 of resid.1"),
    "too wide a value": (edits.add("resid.1", torch.ones(23)), WrongUse, "a value of [23] for each position"),
    "too many rows": (edits.add("resid.1", torch.ones(2, 5, D)), WrongUse, "a value of shape [2, 5, 24]"),
    "too many axes": (edits.set("resid.1", torch.ones(1, 1, 5, D)), WrongUse, "a value of shape [1, 1, 5, 24]"),
    "too many positions": (
        edits.set("resid.1", torch.ones(3, D), positions=[0, 1]),
        WrongUse,
        "resid.1 is [1, 5, 24] and 2 positions",
    ),
    "another prompt's mask": (edits.set("resid.1", 0.0, where=torch.ones(1, 4, D) > 0), WrongUse, "has 5 positions"),
    "a site without a value": (edits.set("resid.*", {"resid.0": torch.zeros(D)}), WrongUse, "resid.1, resid.2"),
    "another length": (
        edits.ablate("resid.1", to="counterfactual", source=IDS[:3]),
        WrongUse,
        "a counterfactual of 3 tokens, where the prompt has 5 tokens",
    ),
    "a position it lacks": (
        edits.ablate("resid.1", to="counterfactual", source=IDS[:3], positions=4),
        SiteNotFound,
        "row 0 of the batch has 3 tokens",
    ),
    "new ones of it": (
        edits.ablate("resid.1", to="counterfactual", source=IDS, positions="new"),
        WrongUse,
        "a counterfactual for tokens yet to be generated",
    ),
    "one-token texts": (edits.ablate("resid.1", to="mean", source=[[4], [7]]), WrongUse, "one token in each text"),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_what_does_not_exist_is_said_and_nothing_runs_on(model, clean, case):
    edit, error, found = NOWHERE[case]
    with pytest.raises(error) as raised:
        model.run(IDS, edits=[edit])
    assert found in str(raised.value)
    assert torch.equal(model.run(IDS)["logits"], clean["logits"])


NOTHING = {
    "add nothing": edits.add("resid.*", 0.0),
    "scale by one": edits.scale("mlp.neurons.1", 1.0, positions=-1),
    "an empty mask": edits.set("resid.1", 7.0, where=torch.zeros(1, 5, D) > 0),
    "new tokens in a plain run": edits.add("resid.1", 1.0, positions="new"),
    "the same prompt": edits.ablate("mlp.out.1", to="counterfactual", source=IDS),
}


@pytest.mark.parametrize("case", NOTHING)
def test_an_edit_that_changes_nothing_raises_unless_it_may(model, clean, case):
    with pytest.raises(EditTouchedNothing, match="changed no value"):
        model.run(IDS, edits=[NOTHING[case]])
    allowed = edits.Edit(**{**vars(NOTHING[case]), "may_be_empty": True})
    assert torch.equal(model.run(IDS, edits=[allowed])["logits"], clean["logits"])


def test_an_edit_of_padding_alone_changes_nothing(model):
    mask = torch.zeros(2, 5, D, dtype=torch.bool)
    mask[1, 3:] = True
    with pytest.raises(EditTouchedNothing):
        model.run([IDS, IDS[:3]], edits=[edits.set("resid.1", 7.0, where=mask)])


def test_edits_follow_one_another_as_written(model, clean):
    """Outer block, inner block, then those of the run; at one site each sees what the one before made."""
    with model.edit(edits.set("resid.1", 2.0, units=3)), model.edit(edits.scale("resid.1", 5.0, units=3)):
        inside = model.run(IDS, ["resid.1"], edits=[edits.add("resid.1", 0.5, units=3)])["resid.1"]
        assert torch.equal(inside[..., 3], torch.full((1, 5), 10.5, dtype=torch.float64))
    assert torch.equal(inside[..., 4:], clean["resid.1"][..., 4:])
    assert torch.equal(model.run(IDS)["logits"], clean["logits"])


def test_the_stream_between_branches_is_that_of_an_edited_one(model):
    change = [edits.scale("resid.1", 0.5), edits.add("attn.out.1", 1.0)]
    run = model.run(IDS, ["resid.1", "attn.out.1", "resid_mid.1"], edits=change)
    torch.testing.assert_close(run["resid_mid.1"], run["resid.1"] + run["attn.out.1"], rtol=0, atol=1e-12)


def test_rows_are_chosen_with_a_mask(model):
    """The last axes of a mask may be left out: here heads and what each mixes."""
    rows, mask = [IDS, IDS[::-1]], torch.zeros(2, 5, dtype=torch.bool)
    mask[1] = True
    run = model.run(rows, ["attn.heads.1"], edits=[edits.set("attn.heads.1", 3.0, where=mask)])["attn.heads.1"]
    assert torch.equal(run[0], model.run(rows, ["attn.heads.1"])["attn.heads.1"][0])
    assert torch.equal(run[1], torch.full_like(run[1], 3.0))


def test_one_value_a_site_and_one_a_row(model, clean):
    given_ = {f"resid.{i}": torch.full((D,), float(i)) for i in range(3)}
    run = model.run(IDS, ["resid.*"], edits=[edits.set("resid.*", given_, positions=2)])
    assert [float(run[f"resid.{i}"][0, 2].mean()) for i in range(3)] == [0, 1, 2]
    rows = torch.tensor([[[1.0]], [[2.0]]])
    run = model.run([IDS, IDS[:2]], ["resid.1"], edits=[edits.set("resid.1", rows, positions=-1, units=[0, 5])])
    assert run["resid.1"][0, 4, [0, 5]].tolist() == [1, 1]
    assert run["resid.1"][1, 1, [0, 5]].tolist() == [2, 2]


def test_means_are_taken_of_the_unedited_model_once(model, monkeypatch):
    texts = [IDS, IDS[:3]]
    unedited = model.means("mlp.out.1", texts)["mlp.out.1"]
    with model.edit(edits.scale("resid.1", 3.0)), model.edit(edits.ablate("mlp.out.1", to="mean", source=texts)):
        found = model.run(IDS, ["mlp.out.1"])["mlp.out.1"][0]
        assert torch.equal(model.means("mlp.out.1", texts)["mlp.out.1"], unedited)
        monkeypatch.setattr("microtome.model.edit_values.means", None)
        model.run(IDS)
    assert torch.equal(found[0], unedited[0])
    assert torch.equal(found[1:], unedited[1].expand(4, D))


def test_a_counterfactual_of_another_length_counts_from_its_own_end(model):
    other = [9, 2, 30]
    there = model.run(other, ["resid.1"])["resid.1"][0]
    edit = edits.ablate("resid.1", to="counterfactual", source=other, positions=[-1, 0])
    here = model.run(IDS, ["resid.1"], edits=[edit])["resid.1"][0]
    assert torch.equal(here[[4, 0]], there[[2, 0]])


def test_a_counterfactual_for_each_row(model):
    sources, rows = [[9, 2, 30, 4, 6], [7, 7]], [IDS, IDS[:2]]
    there = model.run(sources, ["resid.1"])["resid.1"]
    whole = edits.ablate("resid.1", to="counterfactual", source=sources)
    for padding in ("left", "right"):
        assert torch.equal(model.run(rows, ["resid.1"], edits=[whole], padding=padding)["resid.1"], there)
    with pytest.raises(WrongUse, match="a counterfactual of 5, 2 tokens, where the prompt has 2, 5 tokens"):
        model.run(rows[::-1], edits=[whole])


def test_a_value_over_the_prompt_ends_with_it_in_generation(model, clean):
    """A counterfactual, a mask and a value for every position are about the prompt; one value is for all."""
    value = clean["resid.1"] * 0.5
    for edit in (
        edits.set("resid.1", value),
        edits.scale("resid.1", 0.5, where=torch.ones(1, 5, dtype=torch.bool)),
        edits.scale("resid.1", 0.5, positions=range(5)),
    ):
        assert generate(model, IDS, Decoding(5), edits=edit).ids.tolist() == by_hand(model, 5, new=False)
    edit = edits.scale("resid.1", 0.5)
    assert generate(model, IDS, Decoding(5), edits=edit).ids.tolist() == by_hand(model, 5, new=True)


def by_hand(model, steps, *, new):
    ids = list(IDS)
    for _ in range(steps):
        mask = torch.ones(1, len(ids), dtype=torch.bool)
        mask[:, 5:] = new
        logits = model.run(ids, edits=[edits.scale("resid.1", 0.5, where=mask)])["logits"]
        ids.append(int(logits[0, -1].argmax()))
    assert model.module.config.eos_token_id not in ids
    return [ids[5:]]


def test_new_tokens_must_be_read_to_be_edited(model):
    edit = edits.scale("resid.1", 0.5, positions="new")
    with pytest.raises(EditTouchedNothing, match="generate two or more"):
        generate(model, IDS, Decoding(1), edits=edit)


def test_logits_are_edited_also_where_only_the_last_are_computed(model, clean):
    with model.edit(edits.set("logits", 99.0, positions=-1, units=7)):
        assert model.predict(IDS, top=1).ids == (7,)
        assert model.run(IDS, last_logits_only=True)["logits"][0, 0, 7] == 99
    with model.edit(edits.set("logits", 99.0, positions=0, units=7)), pytest.raises(EditTouchedNothing):
        model.predict(IDS, top=1)


def test_attention_that_cannot_be_watched_cannot_be_edited_inside():
    module = tiny_module("llama")
    model = tiny_model("llama")
    module.set_attn_implementation("sdpa")
    model = type(model)(module, None, type(model.anatomy)(module, model.anatomy.family), name="", fingerprint="")
    with pytest.raises(NotSupported, match="attention='sdpa'"):
        model.run(IDS, edits=[edits.scale("attn.pattern.0", 0.5)])
    assert not torch.equal(model.run(IDS, edits=[edits.scale("attn.heads.0", 0.5)])["logits"], model.run(IDS)["logits"])


numbers = st.floats(-8, 8).map(lambda x: float(np.float32(x)))
places = st.fixed_dictionaries(
    {},
    optional={
        "positions": st.lists(st.integers(-2, 1), min_size=1, max_size=3, unique=True),
        "units": st.lists(st.integers(0, 1), min_size=1, unique=True),
    },
)


@settings(max_examples=25)
@given(site=st.sampled_from(SITES), where=places)
def test_scaling_by_one_changes_no_bit(model, clean, site, where):
    edit = edits.scale(site, 1.0, may_be_empty=True, **where)
    assert torch.equal(model.run(IDS, edits=[edit])["logits"], clean["logits"])


@settings(max_examples=25)
@given(site=st.sampled_from(SITES), by=numbers, where=places)
def test_scaling_is_setting_to_the_scaled_value(model, clean, site, by, where):
    axis = model.site(site).kind.position_axis
    value = clean[site] * by
    if "positions" in where:
        value = value.index_select(axis, torch.tensor(where["positions"]) % 5)
    scaled, put = (
        model.run(IDS, edits=[edit])["logits"]
        for edit in (
            edits.scale(site, by, may_be_empty=True, **where),
            edits.set(site, value, may_be_empty=True, **where),
        )
    )
    assert torch.equal(scaled, put)


@settings(max_examples=25)
@given(site=st.sampled_from(SITES), vector=arrays(np.float64, 1, elements=numbers), where=places)
def test_adding_and_taking_away_leaves_what_was(model, clean, site, vector, where):
    """But for rounding: x + v - v is x to the last bits alone."""
    v = torch.from_numpy(vector)
    change = [edits.add(site, sign * v, may_be_empty=True, **where) for sign in (1, -1)]
    there_and_back = model.run(IDS, [site, "logits"], edits=change)
    torch.testing.assert_close(there_and_back[site], clean[site], rtol=0, atol=2e-14)
    torch.testing.assert_close(there_and_back["logits"], clean["logits"], rtol=0, atol=1e-6)


def test_positions_of_each_row_are_those_of_each_row_alone(model):
    rows, named = [IDS, IDS[:3]], [[1, -1], [0, 2]]
    both = model.run(rows, ["resid.1"], edits=edits.scale("resid.1", 3.0, positions=named))["resid.1"]
    for i, row in enumerate(rows):
        alone = model.run(row, ["resid.1"], edits=edits.scale("resid.1", 3.0, positions=named[i]))["resid.1"][0]
        torch.testing.assert_close(both[i, : len(row)], alone, rtol=1e-12, atol=1e-12)


def test_a_counterfactual_at_positions_of_each_row(model):
    rows, sources = [IDS, IDS[:3]], [[9, 2, 30], [7, 7, 1]]
    there = model.run(sources, ["resid.1"])["resid.1"]
    edit = edits.ablate("resid.1", to="counterfactual", source=sources, positions=[[2], [0]])
    here = model.run(rows, ["resid.1"], edits=edit, padding="left")["resid.1"]
    assert torch.equal(here[0, 2], there[0, 2])
    assert torch.equal(here[1, 0], there[1, 0])


def test_positions_of_each_row_need_a_list_for_each(model):
    edit = edits.scale("resid.1", 3.0, positions=[[1], [0]])
    assert str(edit) == "scale at resid.1, positions ((1,), (0,))"
    with pytest.raises(WrongUse) as refused:
        model.run(IDS, edits=edit)
    assert str(refused.value) == (
        "edit: scale at resid.1, positions ((1,), (0,))\n"
        "  found: positions for 2 rows, in a batch of 1\n"
        "  do:    give a list of positions for each row, or one for all"
    )
    with pytest.raises(WrongUse, match="2, 1 positions in different rows"):
        edits.scale("resid.1", 3.0, positions=[[1, 2], [0]])


def test_a_misspelt_place_names_the_right_one():
    with pytest.raises(WrongUse, match="an argument 'position'; the closest are 'positions'"):
        edits.add("resid.1", 1.0, position=3)
    with pytest.raises(WrongUse) as refused:
        edits.ablate("mlp.out.1", unit=[3])
    assert str(refused.value) == (
        "set at mlp.out.1\n"
        "  found: an argument 'unit'; the closest are 'units'\n"
        "  do:    say where with positions, units, where, may_be_empty"
    )
