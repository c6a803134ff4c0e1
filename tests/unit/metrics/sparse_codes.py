"""Codes for tests: compressed rows of a small dense table, written so that they can be read by eye."""

import torch
from torch import Tensor


def compressed(dense: list[list[float]] | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """ids, values and offsets of a table [t, u]; zeros are left out."""
    table = torch.as_tensor(dense, dtype=torch.float32)
    rows, ids = table.nonzero(as_tuple=True)
    offsets = torch.zeros(len(table) + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(rows, minlength=len(table)).cumsum(0)
    return ids, table[rows, ids], offsets
