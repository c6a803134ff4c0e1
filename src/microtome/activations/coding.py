"""How rows of activations are kept: in a dtype of torch, or in 8 bits with one scale a row."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

CODINGS = {"bfloat16": torch.bfloat16, "float32": torch.float32, "int8": torch.int8}
STEPS = 127  # of int8 on either side of zero


@dataclass(frozen=True)
class Coded:
    """Rows as they are kept.

    Attributes:
        values: `[t, d]` in the dtype of the coding.
        scale: `[t]` what one step of 8-bit values is worth; None for the others.
    """

    values: Shaped[Tensor, "t d"]
    scale: Float[Tensor, "t"] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Int[Tensor, "n"]) -> "Coded":
        """Some of the rows, in this order."""
        return Coded(self.values.index_select(0, rows), None if self.scale is None else self.scale[rows])

    def put(self, rows: slice | Int[Tensor, "n"], other: "Coded") -> None:
        """Writes other rows over these."""
        self.values[rows] = other.values
        if self.scale is not None and other.scale is not None:
            self.scale[rows] = other.scale

    def decoded(self) -> Float[Tensor, "t d"]:
        """The rows in float32."""
        exact = self.values.float()
        return exact if self.scale is None else exact * self.scale[:, None]

    @property
    def bytes(self) -> int:
        """What they take in memory and on disk."""
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)


def coded(x: Float[Tensor, "t d"], dtype: str) -> Coded:
    """Rows as they will be kept; an 8-bit row is off by at most half a step, 1/254 of its largest value."""
    if dtype != "int8":
        return Coded(x.to(CODINGS[dtype]))
    scale = x.float().abs().amax(1) / STEPS
    steps = x.float() / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    return Coded(steps.round().clamp(-STEPS, STEPS).to(torch.int8), scale)


def room(rows: int, width: int, dtype: str) -> Coded:
    """Space for rows, not yet written."""
    scale = torch.empty(rows) if dtype == "int8" else None
    return Coded(torch.empty(rows, width, dtype=CODINGS[dtype]), scale)


def row_bytes(width: int, dtype: str) -> int:
    """What one row takes."""
    return width * CODINGS[dtype].itemsize + (4 if dtype == "int8" else 0)
