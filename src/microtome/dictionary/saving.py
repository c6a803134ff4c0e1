"""Dictionaries on disk: a folder of `dictionary.safetensors` and `dictionary.json`, which holds the run card."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from microtome.core.artefact import RunCard, read_artefact, writable, write_json, written_whole
from microtome.core.errors import FormatError, MicrotomeError, MissingFile, WrongUse
from microtome.core.fingerprint import of_module, of_tensors
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import Block, Geometry

KIND, FORMAT = "dictionary", 1
WEIGHTS, CARD = "dictionary.safetensors", "dictionary.json"


def save(dictionary: Dictionary, folder: str | Path, *, dtype: torch.dtype | None = None) -> Path:
    """Writes a dictionary; the card last, so that a folder with a card is whole.

    Args:
        dictionary: what to write.
        folder: where to.
        dtype: of numbers on the disk: float16 or bfloat16 halve it, and round them; None keeps what they have.

    Raises:
        WrongUse: nothing can be written there, or a number is too large for the dtype.
    """
    folder = Path(folder)
    writable(folder / WEIGHTS)
    (folder / CARD).unlink(missing_ok=True)
    state = {name: tensor.contiguous() for name, tensor in dictionary.state_dict().items()}
    kept = {name: _rounded(tensor, dtype) for name, tensor in state.items()}
    with written_whole(folder / WEIGHTS) as temporary:
        save_file(kept, temporary)
    read = sorted((name, tensor.to(state[name].dtype)) for name, tensor in kept.items())
    card = dictionary.card or RunCard(KIND, FORMAT)
    content = {
        "architecture": {"name": dictionary.architecture.name, **dictionary.architecture.to_dict()},
        "geometry": dictionary.geometry.to_dict(),
        "conventions": dictionary.conventions.to_dict(),
        "weights": of_tensors(read),
        "card": replace(card, kind=KIND, format=FORMAT).to_dict(),
    }
    write_json(folder / CARD, content)
    return folder


def load(folder: str | Path, device: torch.device | str = "cpu") -> Dictionary:
    """Reads what `save` wrote.

    Raises:
        MissingFile: there is no dictionary.
        FormatError: it is of a newer format, truncated, changed since, or not what it says.
    """
    folder = Path(folder)
    content = read_artefact(
        folder / CARD, kind=KIND, format=FORMAT, keys=("architecture", "geometry", "conventions", "weights")
    )
    with _as_format_error(folder):
        settings = dict(content["architecture"])
        architecture = ARCHITECTURES.get(settings.pop("name")).from_dict(settings)
        card = RunCard(**content["card"])
        conventions = Conventions.from_dict(content["conventions"])
        made = Dictionary(_geometry(content["geometry"]), architecture, conventions, card)
    tensors = read_tensors(folder / WEIGHTS, made.state_dict())
    made.load_state_dict(tensors)
    if of_module(made) != content["weights"]:
        raise FormatError(
            f"read the dictionary {folder}", found="weights that are not those it was saved with", do="save it again"
        )
    return made.to(device)


def _rounded(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if dtype is None or not tensor.is_floating_point():
        return tensor
    rounded = tensor.to(dtype)
    if not torch.equal(torch.isfinite(rounded), torch.isfinite(tensor)):
        most = torch.finfo(dtype).max
        raise WrongUse(
            f"save a dictionary in {dtype}", found=f"a number above {most:,.0f}, the largest that it has",
            do="save it in bfloat16, or as it is",
        )  # fmt: skip
    return rounded


def read_tensors(path: Path, expected: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a safetensors file, if they are these by name, shape and kind of number.

    Raises:
        MissingFile: there is no such file.
        FormatError: it cannot be read, or holds something else.
    """
    what = f"read the weights {path}"
    if not path.is_file():
        raise MissingFile(what, found="no such file", do="check the path; a download or a copy may have been cut short")
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError) as error:
        raise FormatError(what, found=str(error), do="get the file again: it is damaged or no safetensors") from error
    if found.keys() != expected.keys():
        lacking, more = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
        raise FormatError(
            what, found=f"without {lacking} and with {more}", do="give the weights that belong to its card"
        )
    for name, tensor in found.items():
        like = expected[name]
        if tensor.shape != like.shape or tensor.is_floating_point() != like.is_floating_point():
            raise FormatError(
                what,
                found=f"{name} of shape {list(tensor.shape)} and {tensor.dtype}",
                do=f"it should be {list(like.shape)}",
            )
    return {name: tensor.to(expected[name].dtype) for name, tensor in found.items()}


def _geometry(content: dict[str, Any]) -> Geometry:
    blocks = tuple(Block.from_dict(block) for block in content["blocks"])
    return Geometry.from_dict({**content, "blocks": blocks})


@contextmanager
def _as_format_error(folder: Path) -> Iterator[None]:
    """Whatever a card that was tampered with makes go wrong is said of the file."""
    try:
        yield
    except (MicrotomeError, TypeError, KeyError, ValueError, AttributeError) as error:
        found = error.found if isinstance(error, MicrotomeError) else f"{type(error).__name__}: {error}"
        raise FormatError(
            f"read the dictionary {folder}", found=found, do="give a folder that microtome wrote"
        ) from error
