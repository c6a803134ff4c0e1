"""Module paths as sites: beside those of a family, on plain modules, and all the ways to get one wrong."""

from collections import namedtuple

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

import microtome as mt
from microtome.core.errors import NotSupported, SiteDidNotFire, SiteNotFound, WrongUse
from microtome.core.sites import Sites
from microtome.model import edits
from microtome.model.measuring import measure
from microtome.model.model import Model
from microtome.model.network import Network, carried, carrying
from tiny_models import COMMON, tiny_model, unknown_module

IDS, SHORT = [5, 11, 3, 17, 8], [9, 4]
WORDS = ("the", "old", "bridge", "was", "closed", "on", "seven", "birds", "sat", "wire", "monday")


class Plain(nn.Module):
    """A network as somebody might write it: ids in, a tensor out, no mask, and a module that writes in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(40, 6)
        self.enter, self.relu = nn.Linear(6, 8), nn.ReLU(inplace=True)
        self.step, self.counts = nn.Linear(8, 8), nn.Identity()
        self.unused = nn.Linear(8, 8)
        self.read = nn.Linear(8, 40)

    def forward(self, ids):
        x = self.relu(self.enter(self.embed(ids)))
        self.counts(ids.sum(1))
        return self.read(self.step(self.step(x)))


@pytest.fixture
def plain():
    module = Plain().eval()
    return Model(module, None, Network(module), name="plain", fingerprint="0" * 16)


@pytest.fixture(scope="module")
def llama():
    return tiny_model("llama")


@pytest.fixture
def tokenizer():
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(("[UNK]", *WORDS))}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", pad_token="[UNK]")


@pytest.mark.parametrize(
    "path, name",
    [("mlp.down_proj", "mlp.out"), ("self_attn.o_proj", "attn.out"), ("mlp.gate_proj", "mlp.gate"), ("mlp", "mlp.out")],
)
def test_a_family_has_its_modules_too(llama, path, name):
    module, ours = f"module:model.layers.1.{path}", f"{name}.1"

    def metric(logits):
        return logits[0, -1, 3] - logits[0, -1, 4]

    run = llama.run([IDS, SHORT], capture=[module, ours], backward=metric, padding="left")
    assert torch.equal(run[module], run[ours])
    assert torch.equal(run.grad[module], run.grad[ours])
    first, second = (llama.run(IDS, edits=[edits.scale(one, 2.0, positions=-1)])["logits"] for one in (module, ours))
    assert torch.equal(first, second)
    assert module not in llama.sites()


def test_the_embedding_of_a_family_has_its_gradient(llama):
    run = llama.run(IDS, capture=["module:model.embed_tokens", "embed"], backward=lambda logits: logits[0, -1, 3])
    assert run.grad["embed"].any()
    assert torch.equal(run.grad["module:model.embed_tokens"], run.grad["embed"])


PATHS = ("h", "h.0", "h.0.mlp", "h.1", "h.1.mlp", "h.10.mlp", "ln")


@pytest.mark.parametrize(
    "pattern, found",
    [
        ("h.1.mlp", ["h.1.mlp"]),
        ("h.*.mlp", ["h.0.mlp", "h.1.mlp", "h.10.mlp"]),
        ("h.{10, 0}.mlp", ["h.0.mlp", "h.10.mlp"]),
        ("*", ["h", "ln"]),
        ("h.*", ["h.0", "h.1"]),
    ],
)
def test_patterns_of_paths(pattern, found):
    sites = Sites(2, ("resid",), PATHS)
    assert [one.module for one in sites.select(f"module:{pattern}")] == found


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("module:h.1.mpl", "no module 'h.1.mpl'; the closest are 'h.1.mlp'"),
        ("module:h.{1,2}.mlp", "no module 'h.2.mlp'; the closest are 'h.1.mlp', 'h.0.mlp'"),
        ("module:g.*.mlp", "no module 'g.*.mlp'; the closest are 'h.*.mlp'"),
        ("module:", "no module ''"),
        ("module:{}", "no module ''"),
        ("h.1.mlp", "the path of a module\n  do:    write module:h.1.mlp"),
    ],
)
@pytest.mark.parametrize("n_layers", [0, 2])
def test_a_path_that_is_not_there_is_refused_with_near_ones(pattern, message, n_layers):
    if n_layers and not pattern.startswith("module:"):
        message = "here it is called mlp.out.1" if "h." in pattern else message
    with pytest.raises(SiteNotFound) as raised:
        Sites(n_layers, ("logits",), PATHS).select(pattern)
    assert f"find the site {pattern!r}" in raised.value.what
    assert message in str(raised.value)


def test_a_container_is_no_site_and_an_unused_module_does_not_fire(llama, plain):
    with pytest.raises(SiteNotFound, match=r"no module 'model\.layers'; the closest are"):
        llama.run(IDS, capture=["module:model.layers"])
    with pytest.raises(SiteDidNotFire, match="module:unused"):
        plain.run(IDS, capture=["module:unused"])
    with pytest.raises(SiteDidNotFire, match="module:unused"):
        plain.run(IDS, edits=[edits.ablate("module:unused")])


def test_what_a_module_gave_is_kept_though_the_next_one_writes_over_it(plain):
    run = plain.run(IDS, capture=["module:enter", "module:relu", "logits"], backward=lambda logits: logits.sum())
    assert (run["module:enter"] < 0).any()
    assert torch.equal(run["module:enter"].relu(), run["module:relu"])
    assert torch.equal(plain.run(IDS, capture=["module:enter"])["module:enter"], run["module:enter"])
    assert torch.equal(run.grad["module:enter"], run.grad["module:relu"] * (run["module:enter"] > 0))
    assert torch.equal(run["logits"], plain.module(torch.tensor([IDS])))


def test_a_module_that_runs_twice_is_captured_at_first_and_not_edited(plain):
    run = plain.run(IDS, capture=["module:step", "module:relu", "logits"])
    torch.testing.assert_close(run["module:step"], plain.module.step(run["module:relu"]))
    assert torch.equal(plain.run(IDS, capture=["module:step"])["module:step"], run["module:step"])
    with pytest.raises(NotSupported, match="runs several times in one pass"):
        plain.run(IDS, edits=[edits.ablate("module:step")])


def test_an_output_without_positions_is_captured_whole_and_never_edited(plain):
    assert plain.run(IDS, capture=["module:counts"])["module:counts"].tolist() == [sum(IDS)]
    with pytest.raises(WrongUse, match=r"found: an output of shape \[1\], while \(1, 5\) rows and positions"):
        plain.run(IDS, edits=[edits.ablate("module:counts")])
    with pytest.raises(WrongUse, match="whole numbers"):
        plain.run(IDS, capture=["module:counts"], backward=lambda logits: logits.sum())


def test_units_of_a_module_are_its_third_axis(plain):
    with pytest.raises(SiteNotFound, match="unit 8, but module:enter has units 0 to 7"):
        plain.run(IDS, edits=[edits.ablate("module:enter", units=8)])


def test_one_number_a_position_is_edited_without_units(plain):
    plain.module.total, read = nn.Identity(), plain.module.read
    plain.module.read = nn.Module()
    plain.module.read.forward = lambda x: read(x) + plain.module.total(x.sum(-1))[..., None]
    model = Model(plain.module, None, Network(plain.module), name="plain", fingerprint="0" * 16)
    before = model.run(IDS, capture=["module:total", "logits"])
    after = model.run(IDS, edits=[edits.ablate("module:total", positions=1)])["logits"]
    expected = before["logits"][0, 1] - before["module:total"][0, 1]
    torch.testing.assert_close(after[0, 1], expected)
    assert torch.equal(after[0, 2:], before["logits"][0, 2:])
    with pytest.raises(SiteNotFound, match="one number a position at module:total"):
        model.run(IDS, edits=[edits.ablate("module:total", units=0)])


def test_rows_of_different_length_need_a_mask(plain):
    assert plain.run([IDS, IDS[::-1]])["logits"].shape == (2, 5, 40)
    with pytest.raises(WrongUse, match="takes no attention_mask"):
        plain.run([IDS, SHORT])


def test_a_plain_module_opens_with_what_can_be_measured(plain):
    rows = {row.name: row for row in measure(plain).require().rows}
    assert rows["watched pass"].value == rows["module sites"].value == 0.0
    assert "of 7, 6 ran and gave a tensor" in rows["module sites"].says
    assert "run several times: 1" in rows["module sites"].says
    assert rows["batched rows"].passed is rows["cached steps"].passed is rows["sdpa"].passed is None
    assert plain.predict(IDS).ids[0] == int(plain.module(torch.tensor([IDS]))[0, -1].argmax())
    with pytest.raises(NotSupported, match="no way to generate"):
        plain.generate(IDS)


def test_a_network_without_a_head_has_modules_alone():
    config = AutoConfig.for_model("bert", **{**COMMON, "num_hidden_layers": 2})
    torch.manual_seed(0)
    module = AutoModel.from_config(config, attn_implementation="eager").eval().requires_grad_(False)
    model = Model(module, None, Network(module), name="headless", fingerprint="0" * 16)
    assert "logits" not in model.sites()
    with pytest.raises(SiteNotFound, match="so it has only outputs of modules"):
        model.run(IDS)
    rows = {row.name: row for row in measure(model).require().rows}
    assert rows["batched rows"].says.startswith("module:encoder of a batch")
    run = model.run(IDS, capture=["module:encoder", "module:pooler"])
    assert torch.equal(run["module:encoder"], module(torch.tensor([IDS])).last_hidden_state)
    assert run["module:pooler"].shape == (1, 24)


def test_opening_a_pair_and_a_folder(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("MICROTOME_CACHE", str(tmp_path / "cache"))
    module = unknown_module("opt")
    text = "the old bridge was closed on monday"
    memory = mt.open((module, tokenizer))
    module.save_pretrained(tmp_path / "opt")
    tokenizer.save_pretrained(tmp_path / "opt")
    folder = mt.open(tmp_path / "opt")
    site = "module:model.decoder.layers.1.fc1"
    assert torch.equal(memory.run(text, capture=[site])[site], folder.run(text, capture=[site])[site])
    assert memory.fingerprint == folder.fingerprint
    assert memory.certificate is not None
    assert folder.certificate is not None
    here, there = (
        {row.name: row.value for row in one.require().rows} for one in (memory.certificate, folder.certificate)
    )
    assert there == pytest.approx(here, abs=1e-6)  # sums round by where in memory their terms lie
    assert mt.open(tmp_path / "opt").certificate == folder.certificate
    assert repr(folder).startswith("Model('opt': opt, no family, 39 modules, float32")
    with folder.edit(edits.ablate(site, to="mean", source=[text, "seven birds sat on the old wire"])):
        assert not torch.equal(folder.run(text)["logits"], memory.run(text)["logits"])


def test_the_tensor_of_an_output():
    Pair = namedtuple("Pair", "name value")
    one, two = torch.zeros(1), torch.ones(1)
    for output in (
        one,
        (None, one),
        [one, "more"],
        Pair("x", one),
        {"loss": two, "logits": one},
        {"a": None, "b": one},
    ):
        assert carried(output) is one
        changed = carrying(output, two)
        assert carried(changed) is two
        assert type(changed) is type(output)
    assert carried(None) is carried(({},)) is carried("text") is None
