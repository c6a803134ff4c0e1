"""Dictionaries of several layers as one, and the names under which dictionaries are kept."""

import pytest
import torch

from microtome.core.errors import MissingFile, WrongUse
from microtome.dictionary.architectures.jumprelu import JumpReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.geometry import layer_by_layer, sae, transcoder
from microtome.dictionary.listing import DICTIONARIES
from microtome.dictionary.named import dictionary_names, folder_of
from microtome.dictionary.saving import save
from microtome.dictionary.starting import untrained
from microtome.dictionary.together import together

D, UNITS = 6, 10


def of_layer(layer: int, architecture=None, **conventions) -> Dictionary:
    geometry = transcoder(f"mlp.in.{layer}", f"mlp.out.{layer}", D, D, UNITS)
    told = Conventions(centred=False, **conventions)
    made = untrained(geometry, architecture or TopK(k=3), told, seed=layer)
    with torch.no_grad():
        for i, parameter in enumerate(made.parameters()):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(100 * layer + i)) / 9)
    return made


@pytest.mark.parametrize("architecture", [TopK(k=3), JumpReLU()], ids=lambda one: one.name)
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("layers", [(0, 1, 2), (5,)])
def test_each_layer_does_what_it_did_alone(architecture, skip, layers):
    parts = [of_layer(layer, architecture, skip=skip) for layer in layers]
    whole = together(parts)
    sites = [tuple(f"mlp.{end}.{layer}" for layer in layers) for end in ("in", "out")]
    assert whole.geometry == layer_by_layer(*sites, D, D, UNITS)
    x = torch.randn(7, len(layers), D, generator=torch.Generator().manual_seed(0))
    alone = torch.stack([one.reconstruct(x[:, i]) for i, one in enumerate(parts)], 1)
    found = whole.reconstruct(x[:, 0] if len(layers) == 1 else x).view_as(alone)
    assert torch.allclose(found, alone, atol=1e-6)
    codes = torch.cat([one.encode(x[:, i]).dense() for i, one in enumerate(parts)], -1)
    assert torch.allclose(whole.encode(x[:, 0] if len(layers) == 1 else x).dense(), codes, atol=1e-6)


@pytest.mark.parametrize(
    "others, said",
    [
        ([], "found: none"),
        ([of_layer(0), of_layer(1, TopK(k=4))], "mlp.in.1"),
        ([of_layer(0), of_layer(1, skip=True)], "mlp.in.1"),
        ([of_layer(0), of_layer(0)], "the sites mlp.in.0, mlp.in.0"),
        ([together([of_layer(0), of_layer(1)])], "set of transcoders"),
    ],
)
def test_what_does_not_fit_is_refused(others, said):
    with pytest.raises(WrongUse, match=r"put .* together") as refused:
        together(others)
    assert said in str(refused.value)


def test_a_named_dictionary_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "cache"))
    shipped = dictionary_names()
    one = of_layer(3)
    save(one, folder_of("org/net-1.5/transcoders"))
    save(one, folder_of("org/net-1.5/transcoders/run/layer-3"))  # a part: it has no name
    assert set(dictionary_names()) - set(shipped) == {"org/net-1.5/transcoders"}
    assert torch.equal(load_dictionary("org/net-1.5/transcoders").b_dec, one.b_dec)
    with pytest.raises(MissingFile, match=r"the closest are 'org/net-1\.5/transcoders'"):
        load_dictionary("org/net-1.5/transcoder")


@pytest.mark.parametrize("name", ["../up", "/etc", "a//b", "a/..", "", "a\\b", ".hidden"])
def test_a_name_never_leads_out_of_the_cache(name):
    with pytest.raises(WrongUse, match="keep the dictionary"):
        folder_of(name)


def test_a_named_dictionary_is_read_once_until_it_is_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path))
    made = untrained(sae("resid.0", 4, 8), TopK(k=2), seed=0)
    save(made, folder_of("net/sae"))
    first = load_dictionary("net/sae")
    assert load_dictionary("net/sae") is first
    assert load_dictionary("net/sae", format="microtome") is not first
    save(untrained(sae("resid.0", 4, 16), TopK(k=2), seed=0), folder_of("net/sae"))
    assert load_dictionary("net/sae").n_units == 16


def test_a_name_that_must_be_trained_first_says_how_and_how_long(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path))
    with pytest.raises(MissingFile) as said:
        load_dictionary("smollm2/transcoders")
    how = "`microtome train transcoders --model smollm2` trains it, about 51 minutes on two CPU cores"
    assert said.value.do == how
    assert summary_of("smollm2/transcoders") == f"not here yet: {how}"
    assert summary_of("tiny/sae") == "topk, 512 units at resid.2"
    save(untrained(sae("resid.0", 4, 16), TopK(k=2), seed=0), folder_of("smollm2/transcoders"))
    assert summary_of("smollm2/transcoders") == "topk, 16 units at resid.0"
    (folder_of("smollm2/transcoders") / "dictionary.json").write_text("{")
    assert "damaged" in summary_of("smollm2/transcoders")


def summary_of(name: str) -> str:
    return {entry.name: entry.summary for entry in DICTIONARIES}[name]


def test_rows_of_zeros_have_no_length_to_be_divided_by():
    made = untrained(sae("resid.0", 4, 8), TopK(k=2), Conventions(normalised="length"), seed=0)
    with pytest.raises(WrongUse, match=r"nothing but zeros in 1 of 3 rows \(1\), which have no length"):
        made.encode(torch.tensor([[1.0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]))
    for how in ("no", "layer"):
        usual = untrained(sae("resid.0", 4, 8), TopK(k=2), Conventions(normalised=how), seed=0)
        assert usual.reconstruct(torch.zeros(3, 4)).isfinite().all()
