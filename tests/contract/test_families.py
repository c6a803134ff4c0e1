"""What every family must hold to, on a small random network of each, in float64."""

import pytest
import torch

from microtome.core.errors import SiteNotFound
from microtome.core.sites import KINDS
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.family import FAMILIES as REGISTERED
from microtome.model.frozen import freeze
from microtome.model.generation import generate
from microtome.model.measuring import measure
from microtome.model.replay import replay
from tiny_models import FAMILIES, tiny_model

EXACT = 1e-10
VARIANTS = {
    **{family: (family, {}) for family in FAMILIES},
    "gpt_neox, sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "llama, no biases, gelu": ("llama", {"attention_bias": False, "mlp_bias": False, "hidden_act": "gelu"}),
    "gpt2, relu": ("gpt2", {"activation_function": "relu"}),
}
IDS = [5, 11, 3, 17, 8, 2, 13, 7, 19]


@pytest.fixture(scope="module", params=VARIANTS)
def model(request):
    family, changes = VARIANTS[request.param]
    return tiny_model(family, **changes)


def test_every_family_has_its_line_in_the_table():
    assert {entry.name for entry in REGISTERED} - set(FAMILIES) == {"gemma3"}, "the wrapper of gemma3_text"


def test_the_certificate_passes_and_nothing_was_left_unmeasured(model):
    certificate = measure(model).require()
    unmeasured = {row.name for row in certificate.rows if row.passed is None}
    assert unmeasured == ({"sdpa"} if model.module.config.model_type == "gemma2" else set())
    assert {row.name: row.value for row in certificate.rows}["matrix products"] < EXACT
    assert {row.name: row.value for row in certificate.rows}["affinity"] < EXACT


def test_watching_changes_no_bit_and_every_site_fires(model):
    untouched = model.module(torch.tensor([IDS]), use_cache=False).logits
    run = model.run(IDS, capture=model.sites())
    assert list(run) == model.sites()
    assert torch.equal(run["logits"], untouched)
    assert torch.equal(model.run(IDS)["logits"], untouched)


def test_a_site_that_the_family_lacks_says_so(model):
    lacking = [kind.name for kind in KINDS if kind.name not in model.anatomy.site_kinds]
    for kind in lacking:
        with pytest.raises(SiteNotFound, match=f"this model's family has no '{kind}'"):
            model.run(IDS, capture=[f"{kind}.0"])


def test_cached_generation_is_the_uncached_loop(model):
    ids = list(IDS)
    for _ in range(4):
        ids.append(int(model.run(ids)["logits"][0, -1].argmax()))
        if ids[-1] == model.module.config.eos_token_id:
            break
    found = generate(model, IDS, Decoding(4)).ids[0].tolist()
    assert found == ids[len(IDS) :]


def test_sources_of_the_stream_add_up_to_its_end(model):
    run = model.run(IDS, capture=["embed", "attn.out.*", "mlp.out.*", "resid.final"])
    total = run["embed"] + run.stack("attn.out.*").sum(0) + run.stack("mlp.out.*").sum(0)
    torch.testing.assert_close(total, run["resid.final"], rtol=0, atol=EXACT)


def test_total_gradients_by_matrix_products_equal_autograd(model):
    """Uncut: gradients flow through every frozen unit too, so that every map is used both ways."""
    frozen = freeze(model, IDS)
    embed = frozen.embed.clone().requires_grad_()
    passed = replay(frozen, embed, cut=False)
    leaves = [embed, *(passed.sources[layer.index] for layer in frozen.layers)]
    theirs = torch.autograd.grad(passed.logits[-1, 5] - passed.logits[-1, 6], leaves)
    g = torch.zeros_like(embed)
    g[-1] = frozen.pull_direction(frozen.anatomy.w_u[5] - frozen.anatomy.w_u[6], -1)
    for layer in reversed(frozen.layers):
        units = layer.unit_gradients(g)
        torch.testing.assert_close(units, theirs[1 + layer.index], rtol=0, atol=EXACT)
        through_mlp = layer.pull_units(units)
        read = g if model.anatomy.parallel else g + through_mlp
        g = g + through_mlp + layer.attention.pull(read[None])[0]
    torch.testing.assert_close(g, theirs[0], rtol=0, atol=EXACT)


def test_editing_hidden_units_is_writing_their_columns(model):
    """The neurons of a layer, edited, reach mlp.out exactly as W_down says (experts included)."""
    with model.edit(edits.scale("mlp.neurons.1", 0.25, positions=-1)):
        edited = model.run(IDS, capture=["mlp.out.1", "resid.final"])
    frozen = freeze(model, IDS)
    layer = frozen.layers[1]
    if layer.layer.mlp_post_norm is None:
        expected = layer.mlp_out[-1] - 0.75 * layer.written(layer.neurons)[-1]
        torch.testing.assert_close(edited["mlp.out.1"][0, -1], expected, rtol=0, atol=1e-6)
    assert not torch.equal(edited["mlp.out.1"][0, -1], layer.mlp_out[-1])
    assert torch.equal(edited["mlp.out.1"][0, :-1], layer.mlp_out[:-1])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_an_edit_in_a_padded_batch_is_the_edit_of_each_row_alone(model, padding):
    change = [edits.scale("mlp.neurons.0", 3.0, positions=-1)]
    both = model.run([IDS, IDS[:4]], capture=["resid.1", "attn.pattern.1"], edits=change, padding=padding)
    for row, ids in enumerate((IDS, IDS[:4])):
        n = len(ids)
        alone = model.run(ids, capture=["resid.1", "attn.pattern.1"], edits=change)
        torch.testing.assert_close(both["resid.1"][row, :n], alone["resid.1"][0], rtol=0, atol=EXACT)
        pattern = both["attn.pattern.1"][row, :, :n, :n]
        torch.testing.assert_close(pattern, alone["attn.pattern.1"][0], rtol=0, atol=EXACT)
