"""A GGUF file becomes an ordinary Hugging Face folder, once: dequantised to float32, with its tokenizer."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from microtome.core import fingerprint
from microtome.core.errors import FormatError, ModelNotFound, NotSupported
from microtome.core.progress import working
from microtome.model.sources.cache import FORMAT, built_once, cache_root
from microtome.model.sources.gguf_header import GgufHeader, read_header
from microtome.model.sources.quiet import gguf_tensors_reported, quiet
from microtome.model.sources.refusals import first_line, refuse_incomplete, refuse_unsupported

INSTEAD = "give a Hugging Face folder of the same model"
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def from_gguf(
    *parts: str | Path, name: str | None = None, sha256: str | None = None, cure: str = "get the file again"
) -> Path:
    """The folder that a GGUF file was converted to, converting it where that was not done yet.

    The folder is found again by the file's path, size and time, or by its checksum where that is known,
    and by the versions of transformers and gguf: a second call reads no weights.

    Args:
        parts: the file, or the chunks which in this order make it up.
        name: what the file is called in messages and in the cache; default its own name.
        sha256: what the whole file must hash to.
        cure: what to do where it hashes to something else.

    Returns:
        A folder with `config.json`, `model.safetensors` (float32) and the tokenizer.

    Raises:
        ModelNotFound: no such file.
        FormatError: no GGUF, cut short, damaged, or another checksum than expected.
        NotSupported: an architecture that transformers cannot read from GGUF exactly.
        WrongUse: the cache cannot be written to.
    """
    paths = tuple(Path(part).expanduser().resolve() for part in parts)
    for path in paths:
        if not path.is_file():
            raise ModelNotFound(f"open the GGUF file {str(path)!r}", found="no such file", do="check the path")
    name = name or paths[0].name
    source = {"sha256": sha256} if sha256 else {"files": [_identity(path) for path in paths]}
    libraries = {library: version(library) for library in ("transformers", "gguf")}
    digest = fingerprint.of_value({"format": FORMAT, "source": source, **libraries})
    stem = UNSAFE.sub("-", name.removesuffix(".gguf"))[:64].strip(".-") or "model"

    def build(folder: Path) -> dict[str, Any]:
        with working(f"converting {name}", 3) as step, _whole(paths, folder) as path:
            found = _checked(path, name, sha256, cure)
            step()
            _convert(path, folder, read_header(path, shown=repr(name)), name)
            step(2)
        return {"kind": "model", "name": name, "source": source, "sha256": found, "libraries": libraries}

    return built_once(cache_root() / "models" / f"{stem}-{digest}", build)


def _identity(path: Path) -> list[Any]:
    status = path.stat()
    return [str(path), status.st_size, status.st_mtime_ns]


@contextmanager
def _whole(paths: tuple[Path, ...], folder: Path) -> Iterator[Path]:
    """The file itself, or for the length of the block its chunks put together."""
    if len(paths) == 1:
        yield paths[0]
        return
    whole = folder / "whole.gguf"
    try:
        with whole.open("wb") as out:
            for path in paths:
                with path.open("rb") as chunk:
                    shutil.copyfileobj(chunk, out, fingerprint.CHUNK)
        yield whole
    finally:
        whole.unlink(missing_ok=True)


def _checked(path: Path, name: str, expected: str | None, cure: str) -> str:
    found = fingerprint.of_file(path)
    if expected is not None and found != expected:
        raise FormatError(
            f"read the GGUF file {name!r}",
            found=f"its SHA-256 is {found}, not the pinned {expected}",
            do=cure,
        )
    return found


def _convert(path: Path, folder: Path, header: GgufHeader, name: str) -> None:
    what = f"open the GGUF file {name!r}"
    if not header.has_tokenizer:
        raise FormatError(what, found="it carries no tokenizer", do="give a file that was converted with one")
    where: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    with quiet(), gguf_tensors_reported():
        config = _config(where, header, what)
        tokenizer = _tokenizer(where, what)
        module = _dequantised(where, config, header, what)
        module.save_pretrained(folder, max_shard_size="1TB")
        tokenizer.save_pretrained(folder)


def _tokenizer(where: dict[str, Any], what: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(**where, trust_remote_code=False)
    except Exception as error:
        raise NotSupported(
            what, found=f"transformers cannot read its tokenizer ({first_line(error)})", do=INSTEAD
        ) from error


def _dequantised(where: dict[str, Any], config: PretrainedConfig, header: GgufHeader, what: str) -> PreTrainedModel:
    try:
        # With loading info it is a pair, which its annotation does not say.
        pair: Any = AutoModelForCausalLM.from_pretrained(
            **where, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise NotSupported(
            what,
            found=f"transformers cannot build {header.architecture!r} from it ({first_line(error)})",
            do=INSTEAD,
        ) from error
    module, loading = pair
    refuse_incomplete(loading, what)
    _check_numbers(module, header, what)
    # transformers marks what it read from GGUF as quantised although the weights are plain floats now,
    # and refuses to save it; these three are what the mark consists of.
    module.hf_quantizer = None
    module.is_quantized = False
    del module.config.quantization_config
    return module


def _check_numbers(module: PreTrainedModel, header: GgufHeader, what: str) -> None:
    """transformers drops tensors that it has no place for, such as biases its config does not foresee."""
    taken = sum(parameter.numel() for parameter in module.parameters())
    if taken != header.elements:
        raise NotSupported(
            what,
            found=f"the file holds {header.elements} weights, of which transformers' network takes {taken}",
            do=INSTEAD,
        )
    for name, parameter in module.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise FormatError(
                what, found=f"{name} holds values that are no numbers", do="get the file again; it is damaged"
            )


def _config(where: dict[str, Any], header: GgufHeader, what: str) -> PretrainedConfig:
    try:
        config = AutoConfig.from_pretrained(**where, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        raise NotSupported(
            what,
            found=f"transformers cannot read the architecture {header.architecture!r} from GGUF ({first_line(error)})",
            do=INSTEAD,
        ) from error
    refuse_unsupported(config, what)
    if header.stretches_positions and "default" in _rope_types(config):
        raise NotSupported(
            what,
            found="its rotary positions are rescaled, which transformers does not read from GGUF",
            do=INSTEAD,
        )
    return config


def _rope_types(config: PretrainedConfig) -> set[str]:
    """Of all layers: one table, or one a kind of layer."""
    rope = config.to_dict().get("rope_parameters") or {}
    tables = [rope] if "rope_type" in rope else [table for table in rope.values() if isinstance(table, dict)]
    return {table.get("rope_type", "default") for table in tables} or {"default"}
