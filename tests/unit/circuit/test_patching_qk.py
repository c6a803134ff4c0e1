"""One attention score as a sum over pairs of sources: the sum is tested, and so is a pair, by taking it away."""

import pytest
import torch

from microtome.circuit.patching.qk import qk_attribution
from microtome.core.errors import NotSupported, SiteNotFound, WrongUse
from tiny_models import FAMILIES, tiny_model

IDS = [5, 9, 11, 4, 33]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gemma2"])
@pytest.mark.parametrize("layer, head, query, key", [(0, 1, -1, 2), (2, 3, 3, 3), (1, 0, 4, 1)])
def test_contributions_sum_to_the_score(family, layer, head, query, key):
    model = tiny_model(family)
    found = qk_attribution(model, IDS, layer, head, query=query, key=key)
    score = float(model.run(IDS, [f"attn.scores.{layer}"])[f"attn.scores.{layer}"][0, head, query, key])
    if score < -1e6:
        pytest.skip("outside the window")
    assert found.score == score
    assert float(found.table.sum()) == pytest.approx(score, abs=1e-5 * float(found.table.abs().sum()))
    assert len(found.names) == 2 + layer * 5 == len(found.table)


def test_a_pair_is_what_goes_with_its_sources():
    """By hand on GPT-2: W_Q and W_K on what two sources wrote, at the norm's scale."""
    model = tiny_model("gpt2")
    found = qk_attribution(model, IDS, 1, 2, query=4, key=2)
    run = model.run(IDS, ["resid.1", "mlp.out.0", "embed"])
    norm, block = model.module.transformer.h[1].ln_1, model.module.transformer.h[1]
    x = run["resid.1"][0]
    scale = (x.var(-1, unbiased=False) + norm.eps).rsqrt()

    def part(of, position, which):
        one = run[of][0, position]
        normed = (one - one.mean()) * scale[position] * norm.weight
        return (normed @ block.attn.c_attn.weight)[which * 24 + 12 : which * 24 + 18]

    expected = part("mlp.out.0", 4, 0) @ part("embed", 2, 1) / 6**0.5
    got = found.table[found.names.index("mlp.0"), found.names.index("embed")]
    assert float(got) == pytest.approx(float(expected), rel=1e-9)
    assert found.top(3)[0][2] == pytest.approx(float(found.table.flatten()[found.table.abs().argmax()]))


def test_held_norms_are_let_go():
    model = tiny_model("qwen3")
    before = model.run(IDS)["logits"]
    qk_attribution(model, IDS, 1, 0)
    assert torch.equal(model.run(IDS)["logits"], before)


def test_what_cannot_be_split_is_refused():
    with pytest.raises(NotSupported, match="scores capped at 50"):
        qk_attribution(tiny_model("gemma2"), IDS, 0, 0)
    model = tiny_model("gpt2")
    with pytest.raises(SiteNotFound, match="3 layers of 4 heads"):
        qk_attribution(model, IDS, 0, 4)
    with pytest.raises(SiteNotFound, match="5 tokens"):
        qk_attribution(model, IDS, 0, 0, key=7)
    with pytest.raises(WrongUse, match="a query at 1 and a key at 3"):
        qk_attribution(model, IDS, 0, 0, query=1, key=3)
