"""What every network must hold to whose family nobody described: only its modules have names."""

import pytest
import torch

import microtome as mt
from microtome.core.errors import NotSupported, SiteNotFound
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.frozen import freeze
from microtome.model.generation import generate
from microtome.model.measuring import measure
from microtome.model.network import carried
from tiny_models import UNKNOWN, unknown_model

CLOSE = 2e-5
LONG, SHORT = [5, 11, 3, 17, 8, 25, 13, 7, 19], [9, 4, 15, 31]
ENCODERS = {"bert", "albert"}


@pytest.fixture(scope="module", params=UNKNOWN)
def model(request):
    return unknown_model(request.param)


@pytest.fixture
def pattern(model):
    return f"module:{UNKNOWN[model.network.kind][2]}"


@pytest.fixture
def last(pattern):
    return pattern.replace("*", "2")


def untouched(model, ids, edit=None, path=None):
    """Logits of the bare module, and what one module gave, by a hook of torch's own."""
    seen = []

    def hook(module, inputs, output):
        tensor = carried(output)
        new = tensor if edit is None else edit(tensor.clone())
        seen.append(tensor.clone())
        if edit is None:
            return output
        return new if isinstance(output, torch.Tensor) else (new, *output[1:])

    handle = None if path is None else model.network.modules[path].register_forward_hook(hook)
    with torch.no_grad():
        logits = model.module(torch.tensor([ids])).logits
    if handle is not None:
        handle.remove()
    return logits, seen


def test_the_certificate_passes_and_says_what_is_missing(model):
    certificate = measure(model).require()
    rows = {row.name: row for row in certificate.rows}
    assert rows["watched pass"].value == rows["module sites"].value == 0.0
    assert f"no family describes {model.network.kind!r}" in rows["family"].says
    assert "docs/how-to/add-a-family.md" in rows["family"].says
    assert "keeps its own (eager)" in rows["attention"].says
    assert {"batched rows", "padding side"} <= {name for name, row in rows.items() if row.passed}
    assert (rows["cached steps"].passed is True) == (model.network.kind not in ENCODERS)
    assert (rows["earlier positions"].value > CLOSE) == (model.network.kind in ENCODERS)


def test_what_is_captured_is_what_the_module_gave_and_nothing_changes(model, last):
    expected, seen = untouched(model, LONG, path=last.removeprefix("module:"))
    run = model.run(LONG, capture=[last, "logits"])
    assert torch.equal(run["logits"], expected)
    assert torch.equal(run[last].flatten(), seen[0].flatten())
    assert run[last].shape[:2] == (1, len(LONG))


def test_every_module_that_is_listed_exists(model, pattern):
    assert model.sites()[0] == "logits"
    assert set(model.patterns()) >= {"logits", pattern}
    assert all(model.site(name).module in model.network.modules for name in model.sites()[1:])


@pytest.mark.parametrize("padding", ["left", "right"])
def test_positions_count_real_tokens_whatever_the_padding(model, pattern, padding):
    both = model.run([LONG, SHORT], capture=[pattern], padding=padding)
    for row, ids in enumerate((LONG, SHORT)):
        alone = model.run(ids, capture=[pattern])
        for name in both:
            torch.testing.assert_close(both[name][row, : len(ids)], alone[name][0], rtol=0, atol=CLOSE)
            assert not both[name][row, len(ids) :].any()


def test_the_pass_ends_after_the_last_site_that_is_needed(model, last):
    ran = []
    handle = model.module.get_output_embeddings().register_forward_hook(lambda *_: ran.append(1))
    model.run(LONG, capture=[last])
    assert not ran
    model.run(LONG, capture=[last, "logits"])
    handle.remove()
    assert ran == [1]


@pytest.mark.parametrize("kind", ["opt", "bloom", "falcon", "bert"])
def test_gradients_are_those_of_a_small_step(kind):
    model = unknown_model(kind, torch.float64)
    site = f"module:{UNKNOWN[kind][2]}".replace("*", "1")

    def metric(logits):
        return (logits[0, -2] * torch.linspace(-1, 1, logits.shape[2])).sum()

    run = model.run(LONG, capture=[site], backward=metric)
    step = torch.randn(run[site].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = [model.run(LONG, edits=[edits.add(site, sign * 1e-4 * step)])["logits"] for sign in (1, -1)]
    slope = float(metric(moved[0]) - metric(moved[1])) / 2e-4
    assert slope == pytest.approx(float((run.grad[site] * step).sum()), rel=1e-3)


EDITS = {
    "set": (lambda s, **w: edits.set(s, 0.5, **w), lambda x: torch.full_like(x, 0.5)),
    "add": (lambda s, **w: edits.add(s, 0.5, **w), lambda x: x + 0.5),
    "scale": (lambda s, **w: edits.scale(s, -2.0, **w), lambda x: x * -2),
    "ablate": (lambda s, **w: edits.ablate(s, **w), torch.zeros_like),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_is_what_a_hook_of_torch_would_do(model, last, kind):
    ours, theirs = EDITS[kind]

    def change(x):
        flat = x.reshape(len(LONG), -1)
        flat[-2, 3] = theirs(flat[-2, 3])
        return flat.reshape(x.shape)

    expected, _ = untouched(model, LONG, change, last.removeprefix("module:"))
    found = model.run(LONG, edits=[ours(last, positions=-2, units=3)])["logits"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(model.run(LONG)["logits"], untouched(model, LONG)[0])


def test_ablation_to_the_values_of_another_prompt(model, last):
    there = model.run(LONG[::-1], capture=[last])[last]
    change = edits.ablate(last, positions=3, to="counterfactual", source=LONG[::-1])
    found = model.run(LONG, capture=[last], edits=[change])[last]
    assert torch.equal(found[0, 3], there[0, 3])
    assert not torch.equal(found[0, 2], there[0, 2])


def test_edits_hold_in_generation_with_a_cache(model, last):
    change = edits.scale(last, 3.0)
    if model.network.kind in ENCODERS:
        with pytest.raises(NotSupported, match="no way to generate"):
            model.generate(LONG)
        with pytest.raises(NotSupported, match="no logits of a next token"):
            model.predict(LONG)
        return
    ids = list(LONG)
    for _ in range(3):
        ids.append(int(model.run(ids, edits=[change])["logits"][0, -1].argmax()))
    with model.edit(change):
        found = generate(model, LONG, Decoding(3)).ids[0].tolist()
        assert model.predict(LONG).ids[0] == ids[len(LONG)]
    assert found == ids[len(LONG) :]


@pytest.mark.parametrize("name", ["resid.1", "mlp.neurons.*", "attn.pattern.0", "embed", "blocks.3.hook_resid_pre"])
def test_sites_by_name_are_missing_and_said_to_be(model, name):
    with pytest.raises(SiteNotFound, match=r"no family describes this network(.|\n)*docs/how-to/add-a-family.md"):
        model.run(LONG, capture=[name])


@pytest.mark.parametrize(
    "look",
    [
        lambda model: model.logit_lens(LONG),
        lambda model: freeze(model, LONG),
        lambda model: mt.trace(model, LONG),
        lambda model: model.anatomy,
    ],
    ids=["logit lens", "freeze", "trace", "anatomy"],
)
def test_what_needs_a_family_says_how_to_add_one(model, look):
    with pytest.raises((NotSupported, SiteNotFound), match=r"(?s)no family describes.*docs/how-to/add-a-family.md"):
        look(model)
