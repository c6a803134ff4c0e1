"""Which documents are held out: decided by their number and a seed, so that it never changes as more come."""

import numpy as np
from jaxtyping import Bool, Integer

from microtome.core.errors import WrongUse


def is_held_out(documents: Integer[np.ndarray, "t"], share: float, seed: int) -> Bool[np.ndarray, "t"]:
    """True for about this share of the documents, `[t]`; of two that are the same, both or none.

    Each number is scattered over 64 bits (SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom
    number generators", figure 15) and held out where it falls into the lowest share of them.

    Raises:
        WrongUse: the share does not lie between 0 and 1.
    """
    if not 0 < share < 1:
        raise WrongUse("hold documents out", found=f"a share of {share}", do="give one between 0 and 1, such as 0.1")
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64
        x = _scattered(documents.astype(np.uint64) + _scattered(np.uint64(seed % 2**64)))
    return np.asarray(x < np.uint64(int(share * 2**64)))


def _scattered(x: np.ndarray | np.uint64) -> np.ndarray | np.uint64:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
