"""What a GGUF file says about itself, read with the gguf package; no model is built for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtome.core.errors import FormatError

MAGIC = b"GGUF"


@dataclass(frozen=True)
class GgufHeader:
    """The part of a header that decides whether the file can be opened.

    Attributes:
        architecture: `general.architecture`, such as `llama`.
        has_tokenizer: whether it carries a vocabulary.
        stretches_positions: whether its rotary frequencies are rescaled, by a key or by a tensor.
        elements: how many numbers all its tensors hold.
    """

    architecture: str
    has_tokenizer: bool
    stretches_positions: bool
    elements: int


def is_gguf(path: Path) -> bool:
    """Whether the file starts with GGUF's magic bytes."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path, *, shown: str) -> GgufHeader:
    """Reads keys and tensor table, and holds each tensor's extent against the file's length.

    Args:
        path: of the file.
        shown: what messages call it.

    Raises:
        FormatError: it is no GGUF file, is cut short, or its header is damaged.
    """
    import gguf

    what = f"read the GGUF file {shown}"
    if not is_gguf(path):
        raise FormatError(
            what, found="its first bytes are not those of a GGUF file", do="give a .gguf file that is one"
        )
    try:
        reader = gguf.GGUFReader(path)
        architecture = _text(reader, "general.architecture")
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise FormatError(
            what,
            found=f"{path.stat().st_size} bytes with a header or tensors that are cut short or damaged "
            f"({type(error).__name__}: {error})",
            do="get the file again and compare its checksum with the publisher's",
        ) from error
    names = {tensor.name for tensor in reader.tensors}
    scaling = _text(reader, f"{architecture}.rope.scaling.type", "none")
    return GgufHeader(
        architecture=architecture,
        has_tokenizer=reader.get_field("tokenizer.ggml.tokens") is not None,
        stretches_positions=scaling != "none" or any(name.startswith("rope_") for name in names),
        elements=sum(int(tensor.n_elements) for tensor in reader.tensors),
    )


def _text(reader: Any, key: str, default: str | None = None) -> str:
    field = reader.get_field(key)
    if field is None:
        if default is None:
            raise KeyError(f"no {key}")
        return default
    return str(field.contents())
