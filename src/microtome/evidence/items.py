"""What goes into a statistic: one finite number for each independent item (a prompt, a document)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from microtome.core.errors import WrongUse

Numbers = Sequence[float | int] | np.ndarray


def numbers_of(name: str, x: Numbers, n: int | None = None) -> Float[np.ndarray, " items"]:
    """One number an item, in float64.

    Raises:
        WrongUse: another shape, no items, another count than `n`, or numbers that are not finite.
    """
    return _checked(name, x, ndim=1, shape="[items]", n=n)


def table_of(name: str, x: np.ndarray) -> Float[np.ndarray, "items draws"]:
    """Several numbers an item, in float64; the same errors."""
    return _checked(name, x, ndim=2, shape="[items, draws]", n=None)


def denominators_of(x: Numbers, n: int | None = None) -> Float[np.ndarray, " items"]:
    """What items are divided by: all above zero.

    An item whose denominator is zero has nothing to explain, and a negative one turns its sign; in a
    ratio of sums either would shift the others' figure in silence.
    """
    found = numbers_of("denominators", x, n)
    bad = int((found <= 0).sum())
    if bad:
        raise WrongUse(
            "take a ratio of sums",
            found=f"{bad} of {found.size} denominators not above zero",
            do="leave out, and count, the items whose denominator lies under a stated floor",
        )
    return found


def _checked(name: str, x: Numbers, *, ndim: int, shape: str, n: int | None) -> np.ndarray:
    found = np.asarray(x, dtype=np.float64)
    problem = None
    if found.ndim != ndim or not found.size:
        problem = f"an array of shape {list(found.shape)}"
    elif n is not None and found.shape[0] != n:
        problem = f"{found.shape[0]} of them beside {n} items"
    elif bad := int((~np.isfinite(found)).sum()):
        problem = f"{bad} of {found.size} that are not finite"
    if problem:
        raise WrongUse(f"use the {name}", found=problem, do=f"give finite numbers of shape {shape}")
    return found
