"""Patterns name sites: every site by its own name, several at once, and nothing that does not exist."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from microtome.core.errors import SiteNotFound
from microtome.core.sites import BY_NAME, KINDS, Sites, foreign_name, site

NAMES = tuple(kind.name for kind in KINDS)
LAYERED = [kind.name for kind in KINDS if kind.per_layer]
DEPTHS = st.integers(1, 40)


@given(n_layers=DEPTHS, data=st.data())
def test_every_site_is_found_by_its_own_name(n_layers, data):
    one = data.draw(st.sampled_from(Sites(n_layers, NAMES).every()))
    assert Sites(n_layers, NAMES).select(str(one)) == [one]


@given(n_layers=DEPTHS, kind=st.sampled_from(LAYERED), data=st.data())
def test_braces_select_their_layers_once_and_in_order(n_layers, kind, data):
    layers = data.draw(st.lists(st.integers(-n_layers, n_layers - 1), min_size=1, max_size=6))
    found = Sites(n_layers, NAMES).select(f"{kind}.{{{', '.join(map(str, layers))}}}")
    assert [one.layer for one in found] == sorted({layer % n_layers for layer in layers})


@given(n_layers=DEPTHS, kind=st.sampled_from(LAYERED))
def test_a_star_selects_every_layer(n_layers, kind):
    assert [str(one) for one in Sites(n_layers, NAMES).select(f"{kind}.*")] == [f"{kind}.{i}" for i in range(n_layers)]


@given(n_layers=DEPTHS, kind=st.sampled_from(LAYERED), beyond=st.integers(0, 1000))
def test_a_layer_that_is_not_there_is_refused_on_either_side(n_layers, kind, beyond):
    for layer in (n_layers + beyond, -n_layers - 1 - beyond):
        with pytest.raises(SiteNotFound, match=f"layers 0 to {n_layers - 1}"):
            Sites(n_layers, NAMES).select(f"{kind}.{layer}")


@given(pattern=st.text(max_size=30))
def test_any_text_selects_sites_or_is_refused_in_words(pattern):
    said = None
    try:
        found = Sites(4, NAMES).select(pattern)
    except SiteNotFound as error:
        found, said = [], error.what
    assert found or said == f"find the site {pattern!r}"


def test_sites_stand_in_the_order_of_a_forward_pass():
    names = [str(one) for one in Sites(2, NAMES).every()]
    assert names[:2] == ["embed", "resid.0"]
    assert names[-3:] == ["resid.final", "norm.final", "logits"]
    assert names.index("mlp.out.0") < names.index("resid.1") < names.index("attn.in.1") < names.index("mlp.out.1")


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("resid", "  found: 'resid' written 'resid'\n  do:    write resid.3 or resid.*"),
        ("logits.3", "  found: 'logits' written 'logits.3'\n  do:    write logits, without a layer"),
        ("mlp.neuron.3", "  found: 'mlp.neuron'; the closest are 'mlp.neurons'"),
        ("resid_mid.0", "  found: this model's family has no 'resid_mid' (the stream between attention and MLP)"),
        ("blocks.2.hook_resid_post", "  found: a name from another tool\n  do:    here it is called resid.3;"),
        ("blocks.3.hook_resid_post", "  found: a name from another tool\n  do:    here it is called resid.final;"),
        ("model.layers[3].output", "  found: a name from another tool\n  do:    here it is called resid.final;"),
    ],
)
def test_a_refusal_says_what_to_write(pattern, message):
    parallel = tuple(name for name in NAMES if name != "resid_mid")
    with pytest.raises(SiteNotFound) as raised:
        Sites(4, parallel).select(pattern)
    assert f"find the site {pattern!r}\n{message}" in str(raised.value)


def test_axes_of_positions_are_read_off_the_shape():
    assert BY_NAME["attn.pattern"].position_axes == (2, 3)
    assert BY_NAME["attn.pattern"].position_axis == 2
    assert BY_NAME["resid"].position_axes == (1,)
    assert site("resid", 3).kind is BY_NAME["resid"]


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("blocks.3.hook_resid_pre", "resid.3"),
        ("blocks.7.attn.hook_z", "attn.heads.7"),
        ("blocks.0.mlp.hook_post", "mlp.neurons.0"),
        ("hook_embed", "embed"),
        ("ln_final.hook_normalized", "norm.final"),
        ("model.layers[5].output[0]", "resid.6 (or resid.final after the last layer)"),
        ("transformer.h.5", "resid.6 (or resid.final after the last layer)"),
        ("model.layers[5].self_attn.output", "attn.out.5"),
        ("gpt_neox.layers.2.mlp", "mlp.out.2"),
        ("lm_head.output", "logits"),
        ("hook_mlp_out", "mlp.out.L"),
    ],
)
def test_names_of_other_tools_are_known(theirs, ours):
    assert foreign_name(theirs) == ours


@given(st.sampled_from(Sites(3, NAMES).every()))
def test_our_own_names_are_no_foreign_ones(one):
    assert foreign_name(str(one)) is None
