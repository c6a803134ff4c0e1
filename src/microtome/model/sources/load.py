"""The front door: whatever names a model becomes a Hugging Face module and its tokenizer in memory."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from microtome.core.errors import FormatError, ModelNotFound, WrongUse, nearest
from microtome.model.sources.conversion import from_gguf
from microtome.model.sources.folder import read_folder
from microtome.model.sources.gguf_header import is_gguf
from microtome.model.sources.hub import from_hub, is_hub_id
from microtome.model.sources.installed import again, installed_files
from microtome.model.sources.memory import from_memory
from microtome.model.sources.named import NAMED, NamedModel, ShippedModel
from microtome.model.sources.placement import device_of, dtype_of

Source = str | PathLike[str] | tuple[nn.Module, PreTrainedTokenizerBase]


@dataclass(frozen=True)
class Loaded:
    """A model in memory.

    Attributes:
        module: the Hugging Face module; in eval mode.
        tokenizer: its tokenizer.
        name: what to call it: the short name, the folder's or file's name, the hub id, or the class.
        folder: the folder that its files were read from; None from memory.
        source: what was asked for, as it was written; `memory` for a module.
    """

    module: nn.Module
    tokenizer: PreTrainedTokenizerBase
    name: str
    folder: Path | None
    source: str


def load(
    source: Source,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    attention: str = "eager",
) -> Loaded:
    """Finds a model and loads it; what we load is in eval mode and asks for no gradients.

    Args:
        source: a short name (`smollm2`), a local Hugging Face folder, a `.gguf` file, a hub id
            (`org/name`), or `(module, tokenizer)`, which is used as it is. A short name wins over a
            folder of the same name; write `./name` for the folder.
        dtype: of the weights, as torch dtype or by name; None leaves them as they were saved.
        device: None takes the best there is: cuda, then mps, then cpu.
        attention: transformers' `attn_implementation`; a module from memory keeps its own.

    Raises:
        ModelNotFound: nothing of that name, not installed, or not to be had without a network.
        FormatError: its files are damaged, or do not fit together.
        NotSupported: quantised, encoder-decoder, or unknown to transformers.
        WrongUse: an argument that is none of these, or does not fit the module from memory.
    """
    if isinstance(source, tuple):
        module, tokenizer = from_memory(source, dtype=dtype, device=device)
        return Loaded(module, tokenizer, type(module).__name__, None, "memory")
    if not isinstance(source, str | PathLike):
        raise WrongUse(
            "open a model",
            found=f"a {type(source).__name__}",
            do="give a name, a folder, a .gguf file, a hub id, or (module, tokenizer)",
        )
    placed: dict[str, Any] = {
        "dtype": None if dtype is None else dtype_of(dtype),
        "device": device_of(device),
        "attention": attention,
    }
    name, folder = _found(source)
    module, tokenizer = read_folder(folder, **placed)
    return Loaded(module, tokenizer, name, folder, str(source))


def _found(source: str | PathLike[str]) -> tuple[str, Path]:
    """The name of a model, and the Hugging Face folder that holds it."""
    if isinstance(source, str) and source in NAMED:
        row = NAMED.get(source)
        if isinstance(row, ShippedModel):
            return row.name, row.folder
        return row.name, converted(row)
    path = _existing(source)
    if path is not None and path.is_dir():
        return path.resolve().name, path
    if path is not None:
        if path.suffix.lower() != ".gguf" and not is_gguf(path):
            raise FormatError(
                f"open the model {str(source)!r}",
                found="a file that is no GGUF",
                do="give the folder that holds config.json, or a .gguf file",
            )
        return path.stem, from_gguf(path)
    if isinstance(source, str) and is_hub_id(source) and not source.lower().endswith(".gguf"):
        return source, from_hub(source)
    known = nearest(str(source), (row.name for row in NAMED))
    raise ModelNotFound(
        f"open the model {str(source)!r}",
        found=f"no such file or folder, and no short name {known}",
        do="check the path, or choose a name that `microtome list model` shows",
    )


def converted(row: NamedModel) -> Path:
    """The folder that a named model's file, or its parts put together, were converted to: once, then found again.

    Raises:
        ModelNotFound: a package is not installed, or its file is absent or has the wrong size.
        FormatError: what the packages hold is another file than the pinned one.
    """
    return from_gguf(*installed_files(row), name=row.gguf_name, sha256=row.gguf_sha256, cure=again(row))


def _existing(source: str | PathLike[str]) -> Path | None:
    """The file or folder, or None for what is no path at all: empty, too long, another user's home."""
    try:
        path = Path(source).expanduser()
        path.stat()
    except (OSError, ValueError, RuntimeError):
        return None
    return path if str(source) else None
