"""Checkpoints: one safetensors file that holds tensors and, as JSON beside them, everything else.

One file is written whole or not at all, so that what is found is always one moment of the run.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from microtome.core.artefact import written_whole
from microtome.core.errors import FormatError, MissingFile

FORMAT = 1
FILE = "checkpoint.safetensors"
TENSOR = "$tensor"


def write(folder: Path, state: dict[str, Any]) -> None:
    """Writes plain values and tensors, nested in dictionaries and lists.

    Raises:
        WrongUse: nothing can be written there.
    """
    plain, tensors = apart(state)
    with written_whole(folder / FILE) as temporary:
        save_file(tensors, temporary, {"format": str(FORMAT), "state": json.dumps(plain)})


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote.

    Raises:
        MissingFile: there is no checkpoint.
        FormatError: it is damaged, of a newer format, or something else.
    """
    path = folder / FILE
    what = f"go on from {path}"
    do = "remove it and train anew, or give the folder of a run"
    if not path.is_file():
        raise MissingFile(what, found="no such file", do="give the folder of a run that was stopped")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if int(metadata["format"]) > FORMAT:
                raise FormatError(what, found=f"format {metadata['format']}, and {FORMAT} is the newest known", do=do)
            return put_back(json.loads(metadata["state"]), file.get_tensor)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise FormatError(what, found=f"{type(error).__name__}: {error}", do=do) from error


def as_read(plain: Any) -> Any:
    """Plain values as they come back from a checkpoint: tuples as lists."""
    return json.loads(json.dumps(plain))


def apart(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Plain values with a name where each tensor was, and the tensors by these names: paths into the nest."""
    tensors: dict[str, Tensor] = {}
    return _without_tensors(state, "", tensors), tensors


def put_back(plain: Any, take: Callable[[str], Tensor]) -> Any:
    """Plain values with each tensor where its name stands."""
    if isinstance(plain, dict):
        if TENSOR in plain:
            return take(plain[TENSOR])
        return {key: put_back(one, take) for key, one in plain.items()}
    return [put_back(one, take) for one in plain] if isinstance(plain, list) else plain


def _without_tensors(value: Any, path: str, into: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        into[path] = value.detach().contiguous()
        return {TENSOR: path}
    if isinstance(value, dict):
        return {key: _without_tensors(one, f"{path}/{key}", into) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_tensors(one, f"{path}/{i}", into) for i, one in enumerate(value)]
    return value
