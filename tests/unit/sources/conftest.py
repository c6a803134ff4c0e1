"""Everything is made on the spot: a two-layer Llama, a byte-level tokenizer, the same as GGUF, and wheels."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import pre_tokenizers
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from microtome.model.sources.cache import cache_root
from tiny_llama import MERGES, SPECIAL, tiny_folder, tiny_llama, tiny_tokenizer


@pytest.fixture(autouse=True)
def cache(request, tmp_path, monkeypatch) -> Path:
    """Every test has a cache of its own; those on real weights share the user's, which takes long to fill."""
    folder = tmp_path / "cache"
    if request.node.get_closest_marker("real"):
        return cache_root()
    monkeypatch.setenv("MICROTOME_CACHE", str(folder))
    return folder


@pytest.fixture
def module() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("pristine") / "tiny-llama")


@pytest.fixture
def folder(pristine, tmp_path) -> Path:
    """A Hugging Face folder of the tiny Llama that the test may damage."""
    return Path(shutil.copytree(pristine, tmp_path / "tiny-llama"))


def ggml_names(module: LlamaForCausalLM) -> dict[str, np.ndarray]:
    """The weights under GGUF's names; queries and keys with the rows in llama.cpp's order."""
    short = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    found = {}
    for name, parameter in module.named_parameters():
        weight = parameter.detach().numpy()
        if name == "model.embed_tokens.weight":
            found["token_embd.weight"] = weight
        elif name == "model.norm.weight":
            found["output_norm.weight"] = weight
        else:
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            if short[part] in ("attn_q", "attn_k"):
                heads = weight.shape[0] // 16
                weight = weight.reshape(heads, 2, 8, 64).swapaxes(1, 2).reshape(weight.shape)
            found[f"blk.{layer}.{short[part]}.weight"] = weight
    return found


@pytest.fixture
def write_gguf(module) -> Callable[..., Path]:
    """Writes the tiny Llama as GGUF; `change` may alter tensors, `keys` the writer, before it is written."""

    def write(
        path: Path,
        *,
        architecture: str = "llama",
        kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
        change: Callable[[dict[str, np.ndarray]], None] = lambda tensors: None,
        keys: Callable[[gguf.GGUFWriter], None] = lambda writer: None,
        vocabulary: bool = True,
    ) -> Path:
        writer = gguf.GGUFWriter(path, architecture)
        writer.add_name("tiny")
        writer.add_context_length(128)
        writer.add_embedding_length(64)
        writer.add_block_count(2)
        writer.add_feed_forward_length(96)
        writer.add_head_count(4)
        writer.add_head_count_kv(2)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(10000.0)
        writer.add_rope_dimension_count(16)
        writer.add_vocab_size(260)
        if vocabulary:
            tokens = [SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
            writer.add_tokenizer_model("gpt2")
            writer.add_token_list([*tokens, *("".join(pair) for pair in MERGES)])
            writer.add_token_types([3] + [1] * 259)
            writer.add_token_merges([" ".join(pair) for pair in MERGES])
            writer.add_bos_token_id(0)
            writer.add_eos_token_id(0)
            writer.add_add_bos_token(False)
        keys(writer)
        tensors = ggml_names(module)
        change(tensors)
        for name, weight in tensors.items():
            stored = kind if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(name, gguf.quantize(weight, stored), raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


@pytest.fixture
def make_wheel() -> Callable[..., tuple[Path, str]]:
    """Builds a wheel with one data file and an `__init__` that must never run; returns it with its hash."""

    def make(
        folder: Path, *, name: str = "tinyweights", version: str = "1.0", data: bytes = b"weights"
    ) -> tuple[Path, str]:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", "raise RuntimeError('imported merely to find a file')\n")
            wheel.writestr(f"{name}/data.gguf", data)
            wheel.writestr(
                f"{info}/METADATA",
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-package\n",
            )
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(
                f"{info}/RECORD",
                "".join(
                    f"{one},,\n"
                    for one in (
                        f"{name}/__init__.py",
                        f"{name}/data.gguf",
                        f"{info}/METADATA",
                        f"{info}/WHEEL",
                        f"{info}/RECORD",
                    )
                ),
            )
        return path, hashlib.sha256(path.read_bytes()).hexdigest()

    return make
