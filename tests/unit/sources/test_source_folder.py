"""A folder either gives the network that lies in it, whole, or one message that says what is wrong."""

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel

from microtome.core.errors import FormatError, ModelNotFound, NotSupported, WrongUse
from microtome.model.sources.load import load

AGAIN = "get the folder again"


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def to_pickle(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def test_loads_what_was_saved(folder, module, tokenizer):
    loaded = load(folder, device="cpu")
    for (name, expected), (also, found) in zip(
        module.named_parameters(), loaded.module.named_parameters(), strict=True
    ):
        assert name == also
        assert torch.equal(expected, found)
        assert not found.requires_grad
    assert not any(part.training for part in loaded.module.modules())
    assert (loaded.name, loaded.folder, loaded.source) == ("tiny-llama", folder, str(folder))
    assert loaded.tokenizer("the a").input_ids == tokenizer("the a").input_ids
    assert loaded.module.config._attn_implementation == "eager"


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_dtype_and_attention_are_as_asked(folder, dtype):
    loaded = load(str(folder), dtype=dtype, device=torch.device("cpu"), attention="sdpa")
    assert loaded.module.dtype == torch.bfloat16
    assert loaded.module.config._attn_implementation == "sdpa"


def test_without_a_dtype_it_stays_as_saved(folder, module, tokenizer):
    module.to(torch.bfloat16).save_pretrained(folder)
    assert load(folder, device="cpu").module.dtype == torch.bfloat16


def test_pickled_weights_are_read_without_running_them(folder, module):
    to_pickle(folder)
    found = load(folder, device="cpu").module.model.layers[1].mlp.up_proj.weight
    assert torch.equal(found, module.model.layers[1].mlp.up_proj.weight)


class Hostile:
    def __reduce__(self):
        return os.mkdir, (os.environ["HOSTILE_MARK"],)


def test_a_hostile_pickle_is_refused_and_not_run(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOSTILE_MARK", str(tmp_path / "it-ran"))
    to_pickle(folder)
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(FormatError) as error:
        load(folder, device="cpu")
    assert error.value.found.startswith("its weights cannot be read (")
    assert not (tmp_path / "it-ran").exists()


def test_code_beside_the_weights_is_never_run(folder, tmp_path):
    (folder / "modeling_evil.py").write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w')\nclass Evil: pass\n")
    edit_config(folder, model_type="evil", auto_map={"AutoConfig": "modeling_evil.Evil"})
    with pytest.raises(NotSupported) as error:
        load(folder, device="cpu")
    assert error.value.found.startswith("transformers does not know what config.json describes (")
    assert error.value.do == "give a model that transformers supports without code of its own"
    assert not (tmp_path / "it-ran").exists()


def remove(*names):
    def harm(folder):
        for name in names:
            (folder / name).unlink()

    return harm


def only_gguf(folder):
    (folder / "config.json").rename(folder / "a.gguf")


def cut(name, keep):
    return lambda folder: os.truncate(folder / name, keep)


def sharded(folder):
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def damaged_index(folder):
    sharded(folder)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": 3}')


def quantised(folder):
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})


def encoder_decoder(folder):
    edit_config(folder, is_encoder_decoder=True)


def lacks_a_weight(folder):
    edit_weights(folder, lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight"))


def encoder_only(folder):
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertModel(BertConfig(vocab_size=260, **small)).save_pretrained(folder)


def no_language_model(folder):
    edit_config(folder, model_type="vit")


@pytest.mark.parametrize(
    "harm, kind, found, do",
    [
        (
            remove("config.json"),
            ModelNotFound,
            "no config.json in it; it holds 'generation_config.json', 'model.safetensors', "
            "'tokenizer.json', 'tokenizer_config.json'",
            "give the folder that has one",
        ),
        (
            only_gguf,
            ModelNotFound,
            "no config.json in it; it holds 'a.gguf', 'generation_config.json', 'model.safetensors', "
            "'tokenizer.json', 'tokenizer_config.json'",
            "give the file itself: '{folder}/a.gguf'",
        ),
        (
            remove("model.safetensors"),
            ModelNotFound,
            "a config.json without weights",
            "put model.safetensors or pytorch_model.bin beside it",
        ),
        (
            remove("tokenizer.json"),
            ModelNotFound,
            "no tokenizer in it",
            "put the tokenizer's files beside config.json: `tokenizer.save_pretrained(folder)`",
        ),
        (sharded, FormatError, "model.safetensors.index.json names part-2.safetensors, which is absent", AGAIN),
        (damaged_index, FormatError, "model.safetensors.index.json is damaged", AGAIN),
        (
            quantised,
            NotSupported,
            "its weights are quantised (gptq)",
            "give the unquantised model, or a .gguf file, which is dequantised on opening",
        ),
        (
            encoder_decoder,
            NotSupported,
            "'llama' is an encoder with a decoder",
            "give a decoder-only language model",
        ),
        (
            lacks_a_weight,
            FormatError,
            "the files lack 1 weights of the network, such as model.layers.1.mlp.up_proj.weight",
            "give the whole model; an encoder or a headless model is no language model",
        ),
        (
            no_language_model,
            NotSupported,
            "transformers has no causal language model of the kind 'vit'",
            "give a decoder-only language model",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_wrong_is_said(folder, harm, kind, found, do):
    harm(folder)
    with pytest.raises(kind) as error:
        load(folder, device="cpu")
    do = do.format(folder=folder)
    assert str(error.value) == f"open the model folder '{folder}'\n  found: {found}\n  do:    {do}"


@pytest.mark.parametrize(
    "harm, found",
    [
        (cut("model.safetensors", 100), "model.safetensors is cut short or damaged ("),
        (cut("model.safetensors", 100_000), "model.safetensors is cut short or damaged ("),
        (cut("model.safetensors", 0), "model.safetensors is cut short or damaged ("),
        (cut("config.json", 50), "config.json is damaged ("),
        (cut("tokenizer.json", 500), "its tokenizer cannot be read ("),
        (lambda folder: edit_config(folder, intermediate_size=80), "its weights cannot be read ("),
        (encoder_only, "the files lack "),
    ],
    ids=["header", "data", "empty", "config", "tokenizer", "shapes", "encoder"],
)
def test_damage_is_a_format_error(folder, harm, found):
    harm(folder)
    with pytest.raises(FormatError) as error:
        load(folder, device="cpu")
    assert error.value.what == f"open the model folder '{folder}'"
    assert error.value.found.startswith(found), error.value.found


def test_weights_without_a_place_are_mentioned(folder, caplog):
    edit_weights(folder, lambda tensors: tensors.update({"model.layers.0.self_attn.q_proj.bias": torch.ones(64)}))
    load(folder, device="cpu")
    assert caplog.messages == [
        f"microtome: open the model folder '{folder}': its files hold 1 weights that the network has no place "
        "for, such as model.layers.0.self_attn.q_proj.bias"
    ]


def test_odd_folder_names(folder):
    odd = folder.rename(folder.parent / "we ird\n'[x]*é")
    assert load(odd, device="cpu").name == "we ird\n'[x]*é"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"dtype": "bf16"},
            "open a model as 'bf16'\n  found: 'bf16'; the closest are 'bfloat16', 'float16'\n"
            "  do:    choose one of these dtypes",
        ),
        (
            {"dtype": torch.int8},
            "open a model as 'int8'\n  found: 'int8'; there are 'bfloat16', 'float16', 'float32', 'float64'\n"
            "  do:    choose one of these dtypes",
        ),
    ],
)
def test_a_wrong_dtype(folder, arguments, message):
    with pytest.raises(WrongUse) as error:
        load(folder, **arguments)
    assert str(error.value) == message


@pytest.mark.parametrize("device", ["warp", "xpu:7"])
def test_a_wrong_device(folder, device):
    with pytest.raises(WrongUse) as error:
        load(folder, device=device)
    assert error.value.what == f"open a model on {device!r}"
    assert error.value.found.startswith("torch cannot use that device here (")


def test_a_wrong_attention(folder):
    with pytest.raises(WrongUse) as error:
        load(folder, device="cpu", attention="magic")
    assert error.value.what == "open a model with attention='magic'"
    assert error.value.do == "use 'eager' or 'sdpa'"
