"""Names of places in other tools, and ours."""

import pytest

from microtome.core.sites import BY_NAME
from microtome.dictionary.foreign_sites import TABLE, name_of, site_of


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("blocks.12.hook_resid_pre", "resid.12"),
        ("blocks.12.hook_resid_post", "resid.13"),
        ("blocks.0.attn.hook_z", "attn.heads.0"),
        ("blocks.3.mlp.hook_in", "mlp.in.3"),
        ("blocks.3.hook_mlp_out", "mlp.out.3"),
        ("model.layers.7.output", "resid.8"),
        ("gpt_neox.layers.7.mlp", "mlp.out.7"),
        ("resid_post_layer_8", "resid.9"),
        ("blocks.3.ln2.hook_normalized", None),  # before the gain of the norm
        ("blocks.3.hook_mlp_in", None),  # before or after the norm, as the tool has it
        ("hook_embed", None),
        ("blocksx3xhook_resid_pre", None),
        ("blocks.3.hook_resid_pre.more", None),
        ("", None),
        (None, None),
    ],
)
def test_names_are_sites_where_they_are_the_same_tensor(theirs, ours):
    assert site_of(theirs) == ours


def test_every_row_names_a_site_of_ours():
    assert [ours for _, ours, _ in TABLE if ours not in BY_NAME or not BY_NAME[ours].per_layer] == []


def test_what_we_write_is_read_as_what_we_wrote():
    for kind in {ours for _, ours, _ in TABLE}:
        name = name_of(f"{kind}.5")
        assert name is not None
        assert site_of(name) == f"{kind}.5"
    assert name_of("resid.final") is None
    assert name_of("attn.q.3") is None
