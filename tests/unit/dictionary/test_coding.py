"""Edits of a dictionary's units in a model, and splicing, held to what the formulas say by hand."""

import pytest
import torch

from microtome.core.errors import EditTouchedNothing, NotSupported, SiteNotFound, WrongUse
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import baseline
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import cross_layer, crosscoder, sae, transcoder
from microtome.dictionary.starting import untrained
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.generation import generate
from tiny_models import tiny_model
from unchecked import unchecked

IDS, OTHER = [5, 11, 3, 17, 8], [5, 11, 9, 17, 8]
D, UNITS = 24, 60
LAYERS = ("0", "1", "2")
GEOMETRIES = {
    "sae": sae("resid.1", D, UNITS),
    "transcoder": transcoder("mlp.in.1", "mlp.out.1", D, D, UNITS),
    "clt": cross_layer(tuple(f"mlp.in.{i}" for i in LAYERS), tuple(f"mlp.out.{i}" for i in LAYERS), D, D, UNITS),
}


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clean(model):
    return model.run(IDS, model.sites())


def made(geometry, architecture=None, seed=0, **conventions) -> Dictionary:
    dictionary = untrained(
        geometry, architecture or TopK(8), Conventions(geometry.autoencodes, **conventions), seed=seed, length=0.9
    ).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            if parameter.ndim:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
    return dictionary


@pytest.fixture(params=[(kind, normalised) for kind in GEOMETRIES for normalised in ("no", "layer", "length")], ids=str)
def dictionary(request) -> Dictionary:
    kind, normalised = request.param
    return made(GEOMETRIES[kind], normalised=normalised, skip=kind == "transcoder")


def read(dictionary, run, row=0):
    """What the units read in a run, `[p, d]`, or `[p, r, d]`."""
    found = torch.stack([run[site][row] for site in dictionary.reads], 1)
    return found[:, 0] if len(dictionary.reads) == 1 else found


def active(dictionary, run, position=-1, n=2):
    """The first block's strongest units at a position."""
    dense = dictionary.encode(read(dictionary, run)).dense()[position]
    first = dictionary.geometry.starts[1]
    return dense[:first].topk(n).indices.tolist()


def changed(dictionary, run, change):
    """What `change` of the dense codes does to what the first site gets, decoded by the dictionary itself."""
    x = read(dictionary, run)
    codes = dictionary.encode(x).dense()
    after = change(codes.clone())
    both = [dictionary.decode(type(dictionary.encode(x)).of(one), like=x) for one in (codes, after)]
    difference = both[1] - both[0]
    return difference[:, 0] if difference.ndim == 3 else difference


def first_site(dictionary, run):
    return run[dictionary.writes[0]][0]


def test_ablated_units_are_taken_out_and_the_error_stays(model, clean, dictionary):
    units = active(dictionary, clean)

    def zero(codes):
        codes[:, units] = 0
        return codes

    edit = edits.ablate(dictionary, units=units)
    run = model.run(IDS, [*dictionary.writes, "logits"], edits=edit)
    expected = clean[dictionary.writes[0]][0] + changed(dictionary, clean, zero)
    torch.testing.assert_close(first_site(dictionary, run), expected, rtol=0, atol=1e-12)
    assert (run["logits"] - clean["logits"]).abs().max() > 1e-6
    assert torch.equal(model.run(IDS)["logits"], clean["logits"])


KINDS = {"set": lambda old: torch.full_like(old, 2.5), "add": lambda old: old + 2.5, "scale": lambda old: old * 2.5}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_and_rows_mean_what_they_mean_at_a_site(model, clean, dictionary, kind, side):
    """Two rows of different length; the last token of each. An inactive unit can be set and added to."""
    units = [*active(dictionary, clean), 0]
    edit = getattr(edits, kind)(dictionary, 2.5, units=units, positions=-1)
    site = dictionary.writes[0]
    rows = [IDS, IDS[:3]]
    before = model.run(rows, [*dictionary.reads, site], padding=side)
    after = model.run(rows, [site], edits=edit, padding=side)[site]
    for row, last in enumerate((4, 2)):
        one = {name: before[name][row, None, : last + 1] for name in dictionary.reads}

        def change(codes, last=last):
            codes[last, units] = KINDS[kind](codes[last, units])
            return codes

        expected = before[site][row, : last + 1] + changed(dictionary, one, change)
        torch.testing.assert_close(after[row, : last + 1], expected, rtol=0, atol=1e-12)
        assert torch.equal(after[row, :last], before[site][row, :last])
        assert bool((after[row, last] != before[site][row, last]).any())


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_counterfactual_activations_are_those_of_the_other_prompt(model, clean, kind):
    dictionary = made(GEOMETRIES[kind])
    there = model.run(OTHER, list(dictionary.reads))
    first = dictionary.geometry.starts[1]
    theirs = dictionary.encode(read(dictionary, there)).dense()

    def other(codes):
        codes[2, :first] = theirs[2, :first]
        return codes

    units = range(first)
    site = dictionary.writes[0]
    expected = clean[site][0] + changed(dictionary, clean, other)
    for positions in (2, None):  # the prompts differ at 2; what units read there and later changes
        edit = edits.ablate(dictionary, to="counterfactual", source=OTHER, units=units, positions=positions)
        found = model.run(IDS, [site], edits=edit)[site][0]
        torch.testing.assert_close(found[:3], expected[:3], rtol=0, atol=1e-12)
    assert bool((found[3:] != clean[site][0, 3:]).any())


def test_mean_activations_are_pooled_but_for_the_first_position(model, clean):
    dictionary, texts = made(GEOMETRIES["sae"]), [IDS, OTHER[:3]]
    run = model.run(texts, ["resid.1"])["resid.1"]
    codes = dictionary.encode(run).dense()
    later = torch.cat([codes[0, 1:], codes[1, 1:3]]).mean(0)
    x = clean["resid.1"][0]
    old = dictionary.encode(x).dense()
    new = torch.cat([codes[:, 0].mean(0)[None], later.expand(4, -1)])
    expected = x + (new - old) @ next(dictionary.units).W_dec.detach()
    found = model.run(IDS, ["resid.1"], edits=edits.ablate(dictionary, to="mean", source=texts))["resid.1"][0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_mask_chooses_each_place(model, clean):
    dictionary = made(GEOMETRIES["transcoder"])
    x = clean["mlp.in.1"][0]
    codes = dictionary.encode(x).dense()
    mask = torch.zeros(1, 5, UNITS, dtype=torch.bool)
    mask[0, 1, codes[1].argmax()] = mask[0, 4, codes[4].argmax()] = True
    found = model.run(IDS, ["mlp.out.1"], edits=edits.ablate(dictionary, where=mask))["mlp.out.1"][0]
    expected = clean["mlp.out.1"][0] - (codes * mask[0]) @ next(dictionary.units).W_dec.detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_a_value_for_every_unit_gives_each_its_own(model, clean):
    dictionary, values = made(GEOMETRIES["sae"]), torch.arange(UNITS, dtype=torch.float64).expand(1, 5, -1)
    chosen = model.run(IDS, ["resid.1"], edits=edits.set(dictionary, values, units=[3, 50]))["resid.1"]
    named = model.run(IDS, ["resid.1"], edits=edits.set(dictionary, torch.tensor([3.0, 50.0]), units=[3, -10]))
    assert torch.equal(chosen, named["resid.1"])


@pytest.mark.parametrize("kind", GEOMETRIES)
def test_edits_of_one_dictionary_follow_one_another(model, clean, kind):
    """Taken out and then scaled is out; added and taken away leaves what was: all act on the same activations."""
    dictionary = made(GEOMETRIES[kind])
    units = active(dictionary, clean)
    out, site = edits.ablate(dictionary, units=units), dictionary.writes[0]
    once = model.run(IDS, [site], edits=[out])[site]
    with model.edit(out):
        twice = model.run(IDS, [site], edits=[edits.scale(dictionary, 5.0, units=units[:1], may_be_empty=True)])[site]
    torch.testing.assert_close(twice, once, rtol=0, atol=1e-12)
    there_and_back = [edits.add(dictionary, by, units=[units[0], 7]) for by in (3.0, -3.0)]
    run = model.run(IDS, [site], edits=there_and_back)
    torch.testing.assert_close(run[site], clean[site], rtol=0, atol=1e-12)


def test_edits_of_two_blocks_both_reach_the_site_that_both_write(model):
    """The second block's units are read where the first's were edited, at the layer that both write."""
    dictionary, sites = made(GEOMETRIES["clt"]), ["mlp.out.0", "mlp.out.1"]
    change = [edits.add(dictionary, 2.0, units=7), edits.add(dictionary, 3.0, units=UNITS + 5)]
    both, one = model.run(IDS, sites, edits=change), model.run(IDS, sites, edits=change[:1])
    added = 3.0 * dictionary.write_vectors([UNITS + 5])[0, 0]
    torch.testing.assert_close(both["mlp.out.1"] - one["mlp.out.1"], added.expand(1, 5, -1), rtol=0, atol=1e-12)
    assert torch.equal(both["mlp.out.0"], one["mlp.out.0"])


def test_units_are_read_again_after_another_edit_of_their_site(model, clean):
    dictionary = made(GEOMETRIES["sae"])
    between = [
        edits.add(dictionary, 1.0, units=7),
        edits.set("resid.1", 0.0),
        edits.ablate(dictionary, units=range(UNITS)),
    ]
    x = torch.zeros(5, D, dtype=torch.float64)
    expected = -(dictionary.encode(x).dense() @ next(dictionary.units).W_dec.detach())
    torch.testing.assert_close(model.run(IDS, ["resid.1"], edits=between)["resid.1"][0], expected, rtol=0, atol=1e-12)


def test_a_spliced_dictionary_takes_the_place_of_what_it_reconstructs(model, clean, dictionary):
    run = model.run(IDS, [*dictionary.reads, *dictionary.writes], edits=edits.splice(dictionary))
    given = clean if dictionary.geometry.autoencodes else run
    y = dictionary.reconstruct(read(dictionary, given)).view(5, len(dictionary.writes), D)
    for i, site in enumerate(dictionary.writes):
        torch.testing.assert_close(run[site][0], y[:, i], rtol=0, atol=1e-12)
    assert torch.equal(model.run(IDS)["logits"], clean["logits"])


def test_a_splice_at_some_positions_leaves_the_others(model, clean):
    dictionary = made(GEOMETRIES["transcoder"])
    found = model.run(IDS, ["mlp.out.1"], edits=edits.splice(dictionary, positions=[1, -1]))["mlp.out.1"][0]
    y = dictionary.reconstruct(clean["mlp.in.1"][0])
    torch.testing.assert_close(found[[1, 4]], y[[1, 4]])
    assert torch.equal(found[[0, 2, 3]], clean["mlp.out.1"][0, [0, 2, 3]])


def test_a_splice_that_reconstructs_exactly_changes_nothing(model, clean):
    neurons = baseline("neurons", sae("mlp.neurons.1", 40, 40)).double()
    with pytest.raises(EditTouchedNothing):
        model.run(IDS, edits=edits.splice(neurons))
    zeroed = model.run(IDS, ["mlp.neurons.1"], edits=edits.ablate(neurons, units=[3, 7]))["mlp.neurons.1"]
    expected = clean["mlp.neurons.1"].clone()
    expected[..., [3, 7]] = 0
    assert torch.equal(zeroed, expected)


@pytest.mark.parametrize("kind", GEOMETRIES)
@pytest.mark.parametrize("make", [lambda one: edits.scale(one, 3.0), edits.splice], ids=["edit", "splice"])
def test_generation_with_a_cache_is_the_same_as_without(model, kind, make):
    dictionary = made(GEOMETRIES[kind])
    with model.edit(make(dictionary)):
        cached = generate(model, [IDS, IDS[:3]], Decoding(4)).ids
        for row, prompt in enumerate((IDS, IDS[:3])):
            ids = list(prompt)
            end = model.module.config.eos_token_id
            for _ in range(4):  # a row that has ended goes on with its end
                ended = end in ids[len(prompt) :]
                ids.append(end if ended else int(model.run(ids)["logits"][0, -1].argmax()))
            assert cached[row].tolist() == ids[len(prompt) :]


def test_new_tokens_alone_are_edited(model, clean):
    dictionary = made(GEOMETRIES["sae"])
    with model.edit(edits.add(dictionary, 50.0, units=[3], positions="new")):
        edited = generate(model, IDS, Decoding(5)).ids[0].tolist()
        assert edited[0] == int(clean["logits"][0, -1].argmax())
        ids = [*IDS, edited[0]]
    mask = torch.zeros(1, 6, UNITS, dtype=torch.bool)
    mask[0, 5, 3] = True
    run = model.run(ids, edits=edits.add(dictionary, 50.0, where=mask))
    assert edited[1] == int(run["logits"][0, -1].argmax())


def test_an_edit_of_units_that_are_not_active_touches_nothing(model, clean):
    dictionary = made(GEOMETRIES["sae"])
    codes = dictionary.encode(clean["resid.1"][0]).dense()
    silent = [int((codes == 0).all(0).nonzero()[0])]
    for edit in (edits.ablate(dictionary, units=silent), edits.scale(dictionary, 9.0, units=silent)):
        with pytest.raises(EditTouchedNothing, match=r"Dictionary\(topk sae at resid.1, 60 units\), units"):
            model.run(IDS, edits=edit)


REFUSED = {
    "a unit it lacks": (edits.ablate, {"units": 60}, SiteNotFound, "unit 60, but it has units 0 to 59"),
    "a unit twice": (edits.ablate, {"units": [0, -60]}, WrongUse, "two of these units are one, of 60"),
    "units of a splice": (edits.splice, {"units": [1]}, WrongUse, "units named"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_edited_is_said(model, case):
    make, places, error, found = REFUSED[case]
    with pytest.raises(error) as raised:
        model.run(IDS, edits=make(made(GEOMETRIES["sae"]), **places))
    assert raised.value.found == found


def test_what_is_no_site_is_said():
    with pytest.raises(WrongUse, match="of type int"), unchecked():
        edits.ablate(3)


def test_a_crosscoder_reads_later_than_it_writes(model):
    both = made(crosscoder(("resid.0", "resid.1"), D, UNITS))
    with pytest.raises(NotSupported) as error:
        model.run(IDS, edits=edits.ablate(both, units=range(UNITS)))
    assert error.value.found == "units that read resid.1, which comes after resid.0 that they write"


def test_a_dictionary_of_another_width_or_site_is_said(model):
    with pytest.raises(WrongUse, match="24 numbers a token, where its units read 12"):
        model.run(IDS, edits=edits.ablate(made(sae("resid.1", 12, UNITS))))
    with pytest.raises(SiteNotFound, match="layer 7"):
        model.run(IDS, edits=edits.ablate(made(sae("resid.7", D, UNITS))))


def test_gradients_under_such_an_edit_are_refused(model):
    with pytest.raises(NotSupported, match="without gradients"):
        model.run(IDS, edits=edits.splice(made(GEOMETRIES["sae"])), backward=lambda logits: logits[0, -1, 5])


def test_an_edit_says_whose_units_it_edits():
    edit = edits.scale(made(GEOMETRIES["transcoder"]), 2.0, units=[3, 7], positions=-1)
    assert str(edit) == (
        "scale at Dictionary(topk transcoder from mlp.in.1 to mlp.out.1, 60 units), positions (-1,), units (3, 7)"
    )


@pytest.mark.parametrize("name", [entry.name for entry in ARCHITECTURES])
def test_every_architecture_can_be_edited(model, clean, name):
    dictionary = made(GEOMETRIES["sae"], ARCHITECTURES.get(name).tiny())
    x = clean["resid.1"][0]
    every = model.run(IDS, ["resid.1"], edits=edits.ablate(dictionary))["resid.1"][0]
    expected = x - (dictionary.reconstruct(x) - dictionary.b_dec[0].detach())
    torch.testing.assert_close(every, expected, rtol=0, atol=1e-12)


def test_a_model_in_half_precision_takes_a_dictionary_in_float32():
    model, dictionary = tiny_model("llama", torch.bfloat16), made(GEOMETRIES["transcoder"]).float()
    clean = model.run(IDS, ["mlp.in.1", "mlp.out.1"])
    found = model.run(IDS, ["mlp.out.1"], edits=edits.splice(dictionary))["mlp.out.1"]
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, dictionary.reconstruct(clean["mlp.in.1"]).bfloat16())


def test_a_function_of_units_is_the_edit_that_it_does(model, clean):
    dictionary = made(GEOMETRIES["sae"])
    for places in ({"units": [3, 7]}, {"units": [3], "positions": [1, -1]}, {}):
        raised = model.run(IDS, edits=edits.set(dictionary, lambda units: units + 1, **places))["logits"]
        assert torch.equal(raised, model.run(IDS, edits=edits.add(dictionary, 1.0, **places))["logits"])


def test_a_function_of_units_of_new_tokens_alone(model):
    dictionary = made(GEOMETRIES["sae"])
    texts = [
        generate(model, IDS, Decoding(5), edits=edit).ids.tolist()
        for edit in (
            edits.set(dictionary, lambda units: units + 50, units=[3], positions="new"),
            edits.add(dictionary, 50.0, units=[3], positions="new"),
        )
    ]
    assert texts[0] == texts[1] != generate(model, IDS, Decoding(5)).ids.tolist()


@pytest.mark.parametrize("kind", ["attn.heads", "attn.q", "attn.k", "attn.v"])
def test_units_of_heads_are_edited_where_heads_stand_apart(model, clean, kind):
    """Units that are the coordinates of all heads: ablating some sets those coordinates to zero."""
    site = f"{kind}.1"
    d = clean[site].flatten(2).shape[2]
    coordinates = baseline("neurons", sae(site, d, d)).double()
    gone = [1, d - 2]
    edited = model.run(IDS, [site, "logits"], edits=[edits.ablate(coordinates, units=gone, to="zero")])
    by_hand = clean[site].flatten(2).clone()
    by_hand[..., gone] = 0
    torch.testing.assert_close(edited[site], by_hand.view_as(clean[site]))
    same = model.run(IDS, ["logits"], edits=[edits.set(site, by_hand.view_as(clean[site]))])["logits"]
    torch.testing.assert_close(edited["logits"], same)
    spliced = model.run(IDS, ["logits"], edits=[edits.splice(coordinates, may_be_empty=True)])["logits"]
    torch.testing.assert_close(spliced, clean["logits"])
