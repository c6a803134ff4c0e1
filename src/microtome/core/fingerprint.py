"""Fingerprints: short digests that say whether two things are the same."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 24


def of_tensors(named: Iterable[tuple[str, Tensor]]) -> str:
    """Digest of names, dtypes, shapes and bytes of tensors, in the order given."""
    digest = hashlib.sha256()
    for name, tensor in named:
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        flat = tensor.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
        digest.update(flat.numpy().tobytes())
    return digest.hexdigest()[:16]


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
