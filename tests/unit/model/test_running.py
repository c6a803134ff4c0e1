"""What a run takes, what it gives back, where it stops, and that it leaves nothing behind."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from microtome.core.errors import EditTouchedNothing, SiteNotFound, WrongUse
from microtome.model import edits
from microtome.model.decoding import Decoding
from microtome.model.generation import generate
from microtome.model.inputs import Batch
from microtome.model.model import Model
from tiny_llama import tiny_tokenizer
from tiny_models import tiny_model

IDS = [5, 11, 3, 17, 8]
ROWS = [IDS, IDS[:2], [9, 4, 30]]
CHAT = [{"role": "user", "content": "the a"}]


@pytest.fixture(scope="module")
def model():
    return tiny_model("llama")


@pytest.fixture(scope="module")
def talking():
    """One with a tokenizer, and a template for chats."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}<|end|>{{ m.role }}: {{ m.content }}{% endfor %}"
    bare = tiny_model("llama", vocab_size=260)
    return Model(bare.module, tokenizer, bare.anatomy, name="talking", fingerprint="0" * 16)


@pytest.mark.parametrize(
    ("capture", "names"),
    [
        (["resid.1"], ["resid.1"]),
        ("mlp.neurons.*", ["mlp.neurons.0", "mlp.neurons.1", "mlp.neurons.2"]),
        (["resid.{2,0}", "resid.-1", "embed"], ["resid.0", "resid.2", "embed"]),
        (["attn.pattern.1", "attn.pattern.1"], ["attn.pattern.1"]),
        ([], []),
    ],
)
def test_only_what_was_asked_comes_back(model, capture, names):
    run = model.run(IDS, capture, backward=lambda logits: logits[0, -1, 5])
    assert list(run) == list(run.grad) == names
    assert len(run) == len(names)


def test_a_run_answers_by_every_name_of_a_site(model):
    run = model.run(IDS, ["resid.*"])
    assert run["resid.-1"] is run["resid.2"]
    assert "resid.-1" in run
    assert "mlp.out.0" not in run
    assert "anything" not in run
    assert 3 not in run
    assert run.stack("resid.*").shape == (3, 1, 5, 24)
    with pytest.raises(SiteNotFound, match=r"this run holds resid.0, resid.1, resid.2"):
        run["mlp.out.0"]
    with pytest.raises(SiteNotFound, match=r"gradient at 'resid.0'"):
        run.grad["resid.0"]


def test_layers_of_different_width_cannot_be_stacked():
    run = tiny_model("qwen3_moe").run(IDS, ["mlp.neurons.*"])
    with pytest.raises(WrongUse, match=r"mlp.neurons.0 is \[1, 5, 42\], mlp.neurons.1 is \[1, 5, 40\]"):
        run.stack("mlp.neurons.*")
    assert run.stack("mlp.neurons.{0,2}").shape == (2, 1, 5, 42)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mlp.neuron.1", "the closest are 'mlp.neurons'"),
        ("resid", "'resid' written 'resid'"),
        ("resid.3", "layer 3, but this model has layers 0 to 2"),
        ("resid.{0,7}", "layer 7"),
        ("blocks.1.hook_resid_post", "a name from another tool"),
    ],
)
def test_an_unknown_site_says_what_is_near(model, name, found):
    with pytest.raises(SiteNotFound) as error:
        model.run(IDS, [name])
    assert found in str(error.value)


class Count:
    """How often each block and the unembedding ran."""

    def __init__(self, model):
        self.ran: list[str] = []
        parts = {**{f"block {i}": layer.block for i, layer in enumerate(model.anatomy.layers)}}
        parts |= {"mlp 1": model.anatomy.layers[1].mlp, "unembed": model.anatomy.unembed}
        self.handles = [part.register_forward_pre_hook(self.seen(name)) for name, part in parts.items()]

    def seen(self, name):
        return lambda module, args: self.ran.append(name)

    def stop(self):
        for handle in self.handles:
            handle.remove()
        return self.ran


ENDS = {
    "embed": ([], (), ["block 0"]),
    "attn.out.1": ([], (), ["block 0", "block 1"]),
    "mlp.in.1": ([], (), ["block 0", "block 1", "mlp 1"]),
    "resid.2": ([], (), ["block 0", "block 1", "mlp 1", "block 2"]),
    "norm.final": ([], (), ["block 0", "block 1", "mlp 1", "block 2"]),
    "logits": ([], (), ["block 0", "block 1", "mlp 1", "block 2", "unembed"]),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_pass_ends_after_the_last_site_that_is_needed(model, name):
    count = Count(model)
    model.run(IDS, [name])
    assert count.stop() == ENDS[name][2]


@pytest.mark.parametrize("lasting", [False, True])
def test_an_edit_after_all_that_is_captured_still_runs_and_has_to_change_something(model, lasting):
    silent = pytest.raises(EditTouchedNothing, match=r"scale at mlp\.in\.1\n  found: it ran at 1 site")
    for factor, outcome in ((2.0, nullcontext()), (1.0, silent)):
        late, count = edits.scale("mlp.in.1", factor), Count(model)
        with outcome, model.edit(late) if lasting else nullcontext():
            assert list(model.run(IDS, ["embed"], edits=() if lasting else late)) == ["embed"]
        assert count.stop() == ENDS["mlp.in.1"][2]


def test_a_pass_goes_on_to_its_last_edit_and_for_gradients_to_the_end(model):
    count = Count(model)
    run = model.run(IDS, ["embed"], edits=[edits.scale("mlp.in.1", 2.0)])
    assert count.stop() == ENDS["mlp.in.1"][2]
    assert list(run) == ["embed"]
    count = Count(model)
    run = model.run(IDS, ["embed"], backward=lambda logits: logits.sum())
    assert count.stop() == ENDS["logits"][2]
    assert list(run) == ["embed"]


@pytest.mark.parametrize(
    "inputs",
    [IDS, tuple(IDS), torch.tensor(IDS), torch.tensor([IDS]), np.array(IDS), [np.int64(one) for one in IDS],
     [torch.tensor(one) for one in IDS], [IDS], Batch(torch.tensor([IDS]), (5,))],
)  # fmt: skip
def test_ids_of_every_make_are_one_row(model, inputs):
    assert model.batch(inputs).tokens == [IDS]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("tensors", ["pt", "np", None])
def test_what_a_tokenizer_gives_is_read_with_its_mask(talking, side, tensors):
    texts = ["the a", "a", "a the the"]
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, side
    found = talking.run(tokenizer(texts, padding=True, return_tensors=tensors))
    expected = talking.run(texts)
    assert found.batch.tokens == expected.batch.tokens
    assert torch.equal(found["logits"], expected["logits"])
    assert torch.equal(talking.run(tokenizer("the a"))["logits"], talking.run("the a")["logits"])


@pytest.fixture(scope="module", params=["its own", "that of the end"])
def padding(request, talking):
    """A model whose tokenizer pads with a token, and that token."""
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "!" if request.param == "its own" else tokenizer.eos_token
    model = Model(talking.module, tokenizer, talking.network, name="", fingerprint="")
    return model, tokenizer.pad_token_id


@pytest.mark.parametrize(
    "form", [lambda row: row, lambda row: [row, row], torch.tensor, lambda row: {"input_ids": row}]
)
@pytest.mark.parametrize("side", ["left", "right"])
def test_ids_that_look_padded_need_a_mask(padding, form, side):
    model, pad = padding
    row = [pad, pad, *IDS] if side == "left" else [*IDS, pad, pad]
    with pytest.raises(WrongUse) as refused:
        model.run(form(row))
    assert str(refused.value) == (
        "run the model on token ids\n"
        f"  found: 2 padding tokens (id {pad}) at an end of a row, and no mask\n"
        "  do:    give what the tokenizer gives, with its attention_mask, or rows without padding"
    )
    masked = {"input_ids": row, "attention_mask": [int(one != pad) for one in row]}
    assert torch.equal(model.run(masked)["logits"], model.run(IDS)["logits"])


def test_one_token_of_an_end_is_no_padding(padding):
    model, pad = padding
    if pad == model.tokenizer.eos_token_id:
        model.run([*IDS, pad])
        model.run([pad])
    else:
        with pytest.raises(WrongUse, match="1 padding token "):
            model.run([*IDS, pad])


@pytest.mark.parametrize(
    ("chat", "found"),
    [
        ([{"content": "a"}], "a message without 'role'"),
        ([{"role": "user"}], "a message without 'content'"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}]}], "a content of type list"),
        ([{"role": "user", "content": None}], "a content of type NoneType"),
    ],
)
def test_a_message_has_a_role_and_a_text(talking, chat, found):
    with pytest.raises(WrongUse) as refused:
        talking.run(chat)
    assert str(refused.value) == (
        "run the model on chat messages\n"
        f"  found: {found}\n"
        '  do:    give each message as {"role": "user", "content": "a text"}'
    )


def test_a_template_that_refuses_a_role_is_quoted(talking):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}a"
    )
    model = Model(talking.module, tokenizer, talking.network, name="", fingerprint="")
    with pytest.raises(WrongUse) as refused:
        model.run([{"role": "system", "content": "a"}, *CHAT])
    assert str(refused.value) == (
        "run the model on chat messages\n"
        "  found: its chat template refuses them: System role not supported\n"
        "  do:    change the messages, which have the roles system, user, or give a plain text"
    )


def test_texts_and_chats_alone_and_in_batches(talking):
    tokenizer = talking.tokenizer
    text, chat = tokenizer("the a")["input_ids"], tokenizer("<|end|>user: the a")["input_ids"]
    assert talking.batch("the a").tokens == [text]
    assert talking.batch(["the a", "a"]).tokens == [text, tokenizer("a")["input_ids"]]
    assert talking.batch(CHAT).tokens == [chat]
    assert talking.batch([CHAT, CHAT]).tokens == [chat, chat]
    assert talking.tokens("the a") == ["the", " a"]
    assert torch.equal(talking.run(CHAT)["logits"], talking.run(chat)["logits"])


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ([], "no tokens"),
        ("", "no tokens"),
        ([[5], []], "row 1 has no tokens"),
        (None, "an input of type NoneType"),
        (5, "an input of type int"),
        ({"ids": [5]}, "a mapping that holds 'ids'"),
        ({"input_ids": []}, "no tokens"),
        ({"input_ids": [[5, 3]], "attention_mask": [[1]]}, "an attention_mask of another shape than input_ids"),
        ({"input_ids": [5, 3, 4], "attention_mask": [1, 0, 1]}, "an attention_mask with a hole in it"),
        ([1.5], "an input of a list of float"),
        ([True, False], "an input of a list of bool"),
        (torch.tensor([0.5]), "an input of a list of float"),
        ([[[5]]], "an input of a list of list"),
        (["the", 5], "an input of a list of int, str"),
        ([5, 260], "the token id 260"),
        ([5, -1], "the token id -1"),
        ("a\udcffb", "'a\\udcffb', whose character 1 is no Unicode: '\\udcff'"),
        (
            [{"role": "user", "content": "\ud800"}],
            "'<|end|>user: \\ud800', whose character 13 is no Unicode: '\\ud800'",
        ),
    ],
)
def test_what_is_no_input_is_said(talking, inputs, found):
    with pytest.raises(WrongUse) as error:
        talking.run(inputs)
    assert error.value.found == found


def test_what_this_model_cannot_read_is_said(model, talking):
    with pytest.raises(WrongUse, match="opened without a tokenizer"):
        model.run("text")
    for work in (lambda: model.means("resid.1"), lambda: model.run(IDS, edits=[edits.ablate("resid.1", to="mean")])):
        with pytest.raises(WrongUse, match=r"neutral prompts[\s\S]* without a tokenizer\n[\s\S]*a counterfactual"):
            work()
    with pytest.raises(WrongUse, match="65 tokens in a row"):
        tiny_model("gpt2").run([5] * 65)
    untaught = Model(talking.module, tiny_tokenizer(), talking.anatomy, name="", fingerprint="")
    with pytest.raises(WrongUse, match="no chat template"):
        untaught.run(CHAT)


@pytest.mark.parametrize("padding", ["left", "right"])
def test_rows_of_different_length_are_the_rows_alone(model, padding):
    """Every site, gradients too: token 0 at position 0, nothing at padding, wherever the padding stands."""

    def metric(logits):
        return sum((logits[i, n - 1, 5] * (i + 1) for i, n in enumerate((5, 2, 3)[: len(logits)])), logits[0, 0, 3] * 0)

    run = model.run(ROWS, model.sites(), backward=metric, padding=padding)
    assert run.mask.tolist() == [[True] * len(ids) + [False] * (5 - len(ids)) for ids in ROWS]
    for row, ids in enumerate(ROWS):
        alone = model.run(ids, model.sites(), backward=lambda z, row=row: z[0, -1, 5] * (row + 1))
        for name in model.sites():
            for found, expected in ((run[name], alone[name]), (run.grad[name], alone.grad[name])):
                real = found[row]
                for axis in model.site(name).kind.position_axes:
                    assert found[row].narrow(axis - 1, len(ids), 5 - len(ids)).abs().sum() == 0
                    real = real.narrow(axis - 1, 0, len(ids))
                torch.testing.assert_close(real, expected[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_is_padded_as_it_was_made_or_as_is_asked(model, side):
    made, asked = model.batch(ROWS, padding=side), {"left": "right", "right": "left"}[side]
    assert model.batch(made) is made
    turned, expected = model.batch(made, padding=asked), model.batch(ROWS, padding=asked)
    assert (turned.ids.tolist(), turned.lengths, turned.side) == (expected.ids.tolist(), expected.lengths, asked)
    assert torch.equal(generate(model, made, Decoding(3)).ids, generate(model, ROWS, Decoding(3)).ids)


def test_the_last_logits_alone(model):
    whole = model.run(ROWS)["logits"]
    last = model.run(ROWS, last_logits_only=True, padding="left")["logits"]
    torch.testing.assert_close(last[:, 0], torch.stack([whole[i, len(ids) - 1] for i, ids in enumerate(ROWS)]))
    with pytest.raises(WrongUse, match="padded on the right"):
        model.run(ROWS, last_logits_only=True)


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        (lambda logits: 3.0, "a metric of type float and no gradient"),
        (lambda logits: logits[0, -1], "a metric of type Tensor and shape [97]"),
        (lambda logits: logits.detach().sum(), "a metric of type Tensor and no gradient"),
    ],
)
def test_a_metric_is_one_number_that_depends_on_the_logits(model, metric, found):
    with pytest.raises(WrongUse) as error:
        model.run(IDS, ["resid.1"], backward=metric)
    assert error.value.found == found


def test_gradients_are_under_the_edits_in_force(model):
    """Scaled by s at the end of the stream, a site's gradient there is that of what the norm then reads."""
    value = model.run(IDS, ["norm.final"])["norm.final"] * 0.5
    run = model.run(
        IDS, ["norm.final"], backward=lambda z: z[0, -1, 5].square(), edits=[edits.set("norm.final", value)]
    )
    read = model.anatomy.w_u[5]
    expected = 2 * (value[0, -1] @ read) * read
    torch.testing.assert_close(run.grad["norm.final"][0, -1], expected, rtol=1e-12, atol=1e-12)
    assert run.metric == pytest.approx(float((value[0, -1] @ read) ** 2), rel=1e-12)


class Trace:
    """Everything that a run could leave behind."""

    def __init__(self, model):
        module = model.module
        self.weights = {name: tensor.clone() for name, tensor in module.state_dict(keep_vars=False).items()}
        self.flags = [(one.requires_grad, one.grad) for one in module.parameters()]
        self.settings = (module.config.to_dict(), module.config._attn_implementation, module.training)
        self.hooks = sum(
            len(one._forward_hooks) + len(one._forward_pre_hooks) + len(one._backward_hooks) for one in module.modules()
        )
        self.forwards = [one for one in module.modules() if "forward" in vars(one)]
        with torch.no_grad():
            self.logits = module(torch.tensor([IDS]), use_cache=False).logits
        self.grad = torch.is_grad_enabled()
        self.random = torch.get_rng_state()

    def same(self, other):
        assert self.weights.keys() == other.weights.keys()
        assert all(torch.equal(one, other.weights[name]) for name, one in self.weights.items())
        assert (self.flags, self.settings, self.hooks, self.forwards, self.grad) == (
            other.flags, other.settings, other.hooks, other.forwards, other.grad,
        )  # fmt: skip
        assert torch.equal(self.logits, other.logits)
        assert torch.equal(self.random, other.random)


def broken(error):
    def metric(logits):
        raise error

    return metric


def in_the_middle(model, error):
    """An error from within the pass, as Ctrl-C would be."""

    def hook(module: nn.Module, args: tuple) -> None:
        raise error

    handle = model.anatomy.layers[1].mlp.register_forward_pre_hook(hook)
    try:
        model.run(IDS, model.sites(), edits=[edits.scale("attn.pattern.0", 0.5)])
    finally:
        handle.remove()


def inside_the_block(model, error):
    with model.edit(edits.scale("resid.1", 2.0)), model.edit(edits.set("attn.q.1", 0.0)):
        model.run(IDS)
        raise error


ALL = [edits.scale("attn.*.1".replace("*", kind), 0.5) for kind in ("q", "k", "v", "scores", "pattern", "heads")]
ENDINGS = {
    "a run": (lambda m: m.run(IDS, m.sites(), edits=ALL, backward=lambda z: z.sum()), None),
    "a short run": (lambda m: m.run(IDS, ["resid.1"]), None),
    "generation": (lambda m: generate(m, ROWS, Decoding(3)), None),
    "sampling": (lambda m: generate(m, ROWS, Decoding(3, sample=True, seed=1)), None),
    "an edit in force": (lambda m: inside_the_block(m, KeyError("mine")), KeyError),
    "an interrupted block": (lambda m: inside_the_block(m, KeyboardInterrupt()), KeyboardInterrupt),
    "an interrupted pass": (lambda m: in_the_middle(m, KeyboardInterrupt()), KeyboardInterrupt),
    "a broken pass": (lambda m: in_the_middle(m, RuntimeError("theirs")), RuntimeError),
    "a broken metric": (lambda m: m.run(IDS, m.sites(), backward=broken(KeyError("mine"))), KeyError),
    "an interrupted metric": (lambda m: m.run(IDS, backward=broken(KeyboardInterrupt())), KeyboardInterrupt),
    "a refused edit": (lambda m: m.run(IDS, edits=[*ALL, edits.add("resid.2", 0.0)]), EditTouchedNothing),
    "a missing position": (lambda m: m.run(IDS, edits=[edits.add("resid.2", 1.0, positions=9)]), SiteNotFound),
    "a missing site": (lambda m: inside_the_block_of_nothing(m), SiteNotFound),
}


def inside_the_block_of_nothing(model):
    with model.edit(edits.scale("resid.1", 2.0), edits.scale("nowhere", 2.0)):
        pass


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("family", ["llama", "mixtral"])
def test_afterwards_the_model_is_as_it_was(family, ending):
    model = tiny_model(family)
    before, (act, error) = Trace(model), ENDINGS[ending]
    if error is None:
        act(model)
    else:
        with pytest.raises(error):
            act(model)
    Trace(model).same(before)
    assert torch.equal(model.run(IDS)["logits"], before.logits)


def test_sampling_has_a_seed(model):
    first, again, other = (generate(model, IDS, Decoding(8, sample=True, seed=seed)).ids.tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_generated_text_is_that_of_the_new_ids(talking):
    ids = generate(talking, ["the a", "a"], Decoding(4)).ids
    assert talking.generate(["the a", "a"], max_new_tokens=4) == talking.tokenizer.batch_decode(
        ids, skip_special_tokens=True
    )


@pytest.mark.parametrize("several", [False, True])
def test_after_its_end_a_row_of_a_batch_gets_no_token_of_its_own(several):
    """Token 0 is the end for this tokenizer but not here, and it has no padding."""
    bare = tiny_model("llama", vocab_size=260)
    model = Model(bare.module, tiny_tokenizer(), bare.anatomy, name="", fingerprint="")
    end = int(generate(model, IDS, Decoding(1)).ids)
    model.module.generation_config.eos_token_id = [end, 259] if several else end
    short, long = generate(model, [IDS, IDS[:2]], Decoding(4)).ids.tolist()
    assert short == [end] * 4
    assert end not in long
