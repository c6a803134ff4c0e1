"""What a task's generator is: a stream of distinct rows in an order that its seed decides."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from microtome.core.registry import Registry
from microtome.data.row import Row


@dataclass(frozen=True)
class Generator:
    """A recipe for the rows of a task.

    Attributes:
        stream: from a source of randomness to all rows that the recipe can make, each once. It is
            read only as far as rows are needed, so a larger task begins with the rows of a smaller.
        version: raised whenever the same seed no longer gives the same rows.
        home: the module that holds the recipe.
    """

    stream: Callable[[Random], Iterator[Row]]
    version: int
    home: str

    def candidates(self, seed: int) -> Iterator[Row]:
        """Every row, in the order of this seed."""
        return self.stream(Random(seed))

    def __call__(self, n: int, seed: int) -> tuple[Row, ...]:
        """The first `n` rows of this seed, or all there are."""
        return tuple(islice(self.candidates(seed), n))


TASKS: Registry[Generator] = Registry("task", folder="microtome.data.tasks")


def generator(name: str, *, summary: str, version: int = 1) -> Callable[[Callable[[Random], Iterator[Row]]], Generator]:
    """Registers a function from a source of randomness to rows as the task `name`."""

    def decorate(stream: Callable[[Random], Iterator[Row]]) -> Generator:
        home = stream.__module__
        return TASKS.add(name, Generator(stream, version, home), summary=summary, home=home)

    return decorate


def shuffled(rng: Random, size: int) -> Iterator[int]:
    """The numbers below `size` in random order, each once.

    A Fisher-Yates shuffle that remembers only the places it has touched, so that a few numbers
    out of very many cost only the few.
    """
    moved: dict[int, int] = {}
    for place in range(size):
        other = rng.randrange(place, size)
        yield moved.get(other, other)
        moved[other] = moved.pop(place, place)


def drawn(rng: Random, *axes: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """One item from each axis, every combination once, in random order."""
    for number in shuffled(rng, math.prod(len(axis) for axis in axes)):
        picked = []
        for axis in axes:
            number, place = divmod(number, len(axis))
            picked.append(axis[place])
        yield tuple(picked)


def paired(rng: Random, items: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Every ordered pair of two different items once, in random order.

    Each item comes first once before any comes first again, and second likewise: few rows then
    share a fact, and intervals over rows are not fooled by repetitions.
    """
    order = [items[place] for place in shuffled(rng, len(items))]
    for step in shuffled(rng, max(len(order) - 1, 0)):
        for place, first in enumerate(order):
            yield first, order[(place + step + 1) % len(order)]


def asked(rng: Random, question: str, answers: Mapping[str, str]) -> Iterator[Row]:
    """A question about each thing, against the same question about each other thing.

    Args:
        rng: the source of randomness.
        question: a prompt in which `{}` stands for the thing.
        answers: of each thing, without the space before it. Pairs with one answer are passed over, and so are
            pairs in which a thing is the other's answer: it would stand in the prompt, ready to be copied.
    """
    for one, other in paired(rng, tuple(answers)):
        if answers[one] not in (answers[other], other):
            yield Row(question.format(one), question.format(other), f" {answers[one]}", f" {answers[other]}")
