"""Memory that one step frees stays with the process for the next.

By default the C library hands large pieces back to the system at once, which clears each of their pages when they are
asked for again: a fifth of the time of a step or more. The largest pieces, gradients, it would map anew at each step
whatever is kept; here no piece is mapped. The price is memory that lies scattered: about half as much again as a step
needs. From time to time all that lies free is given back, so that it does not pile up.
"""

import ctypes
import os
import platform

TRIM, MAPPINGS = -1, -4  # numbers of glibc's malloc.h
KEPT = 1 << 30  # bytes that may lie free


def kept_for_the_next_step() -> None:
    """Tells glibc's allocator, unless the user did (`MALLOC_…`); elsewhere memory is managed otherwise."""
    user_decided = any(name.startswith("MALLOC_") for name in os.environ)
    if _glibc() and not user_decided:
        library = ctypes.CDLL(None)
        library.mallopt(TRIM, KEPT)
        library.mallopt(MAPPINGS, 0)


def given_back() -> None:
    """Hands every free page to the system."""
    if _glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
