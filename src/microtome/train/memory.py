"""Memory that one step frees stays with the process for the next.

By default the C library hands large pieces back to the system at once, which clears each of their pages when they are
asked for again: a fifth of the time of a step or more. The price is memory that lies scattered: about half as much
again as a step needs. From time to time all that lies free is given back, so that it does not pile up.
"""

import ctypes
import os
import platform

TRIM, MMAP = -1, -3  # numbers of glibc's malloc.h
KEPT, LARGEST = 1 << 30, 1 << 25  # bytes that may lie free; of one piece that is kept, the most that glibc allows


def kept_for_the_next_step() -> None:
    """Tells glibc's allocator, unless the user did (`MALLOC_…`); elsewhere memory is managed otherwise."""
    told = any(name.startswith("MALLOC_") for name in os.environ)
    if _glibc() and not told:
        library = ctypes.CDLL(None)
        library.mallopt(TRIM, KEPT)
        library.mallopt(MMAP, LARGEST)


def given_back() -> None:
    """Hands every free page to the system."""
    if _glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
