"""Fingerprints: short digests that say whether two things are the same."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

CHUNK = 1 << 24
Stamp = tuple[tuple[int, int], ...]

_KNOWN: "WeakKeyDictionary[nn.Module, tuple[Stamp, str]]" = WeakKeyDictionary()


def of_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """Digest of names, dtypes, shapes and bytes of tensors, in the order given."""
    digest = hashlib.sha256()
    for name, tensor in named:
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
        digest.update(flat.numpy().tobytes())
    return digest.hexdigest()[:16]


def of_module(module: nn.Module) -> str:
    """Digest of a module's weights by name; computed again only where some have changed since."""
    now = stamp(module)
    known = _KNOWN.get(module)
    if known is None or known[0] != now:
        known = now, of_tensors(sorted(module.state_dict().items()))
        _KNOWN[module] = known
    return known[1]


def stamp(module: nn.Module) -> Stamp:
    """Where a module's weights lie, and how often each was changed in place: equal as long as nothing has changed."""
    return tuple((one.data_ptr(), one._version) for one in (*module.parameters(), *module.buffers()))


def of_value(value: Any) -> str:
    """Digest of plain values (what JSON can hold), independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_file(path: str | Path) -> str:
    """Full SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()
