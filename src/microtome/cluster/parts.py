"""Which part of some work belongs to which rank."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def part(n: int, rank: int, ranks: int) -> range:
    """The range of n things that a rank holds; ranges follow one another and differ in length by one at most."""
    return range(n * rank // ranks, n * (rank + 1) // ranks)


def dealt(items: Iterable[T], rank: int, ranks: int) -> Iterator[T]:
    """Every `ranks`-th item, beginning with number `rank`: of a list whose length nobody knows beforehand."""
    return islice(items, rank, None, ranks)
