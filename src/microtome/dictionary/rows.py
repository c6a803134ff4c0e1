"""Rows that have no codes: refused before they are encoded, since beside NaN no unit is above anything."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.dictionary.normalising import How

SHOWN = 4


def check_rows(what: str, x: Float[Tensor, "t r d"], batch: tuple[int, ...], how: How) -> None:
    """Refuses rows that are not finite, and rows of zeros where each is divided by its length.

    Args:
        what: is to be done with them, in words.
        x: the rows.
        batch: the shape in which they were given.
        how: they are normalised.

    Raises:
        WrongUse: there are such rows; the message names the first of them.
    """
    if bool((wrong := ~x.isfinite().flatten(1).all(1)).any()):
        raise WrongUse(
            what, found=f"NaN or infinite numbers in {_named(wrong, batch)}",
            do="leave these rows out, and look for what made them, such as float16 that overflowed",
        )  # fmt: skip
    if how == "length" and bool((wrong := ~x.flatten(1).any(1)).any()):
        raise WrongUse(
            what, found=f"nothing but zeros in {_named(wrong, batch)}, which have no length to be divided by",
            do="leave these rows out",
        )  # fmt: skip


def _named(wrong: Bool[Tensor, "t"], batch: tuple[int, ...]) -> str:
    """How many rows, and where the first of them stand in the batch."""
    places = [tuple(place) for place in torch.argwhere(wrong.view(batch)).tolist()]
    if not batch:
        return "it"
    first = ", ".join(str(place[0] if len(place) == 1 else place) for place in places[:SHOWN])
    return f"{len(places):,} of {wrong.numel():,} rows ({first}{', …' if len(places) > SHOWN else ''})"
