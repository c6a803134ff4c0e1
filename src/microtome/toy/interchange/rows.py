"""Rows to learn from: an input, another of its length, and what is to be said when a node is taken from the other."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import torch
from jaxtyping import Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.toy.compiled.interpreter import Trace, Values, traced
from microtome.toy.compiled.language import Program
from microtome.toy.compiled.parts import shown
from microtome.toy.interchange.alignment import Alignment

UNSAID = -100
"""The label of the padding, which no loss counts."""


@dataclass(frozen=True, eq=False)
class Interchanges:
    """Inputs in pairs, padded on the right, where a causal network's answers do not look.

    Attributes:
        base, source: token ids; each begins with the BOS.
        node: which node is taken from the source, as its place in `Alignment.at`.
        plain: what the program says of the base.
        changed: what it says with the node's values as on the source.
    """

    base: Int[Tensor, "b p"]
    source: Int[Tensor, "b p"]
    node: Int[Tensor, " b"]
    plain: Int[Tensor, "b p"]
    changed: Int[Tensor, "b p"]

    def at(self, rows: Int[Tensor, " n"]) -> "Interchanges":
        """Some of them."""
        return Interchanges(
            self.base[rows], self.source[rows], self.node[rows], self.plain[rows], self.changed[rows]
        )  # fmt: skip


def interchanges(of: Alignment, words: Sequence[str], n: int, seed: int) -> Interchanges:
    """So many for each node, drawn by the seed.

    Every other pair is drawn until the interchange changes some answer, so that nodes which rarely matter are seen
    to matter.

    Args:
        of: the program and its nodes.
        words: of the vocabulary, the BOS first.
        n: pairs a node.
        seed: of the inputs.
    """
    random = Random(seed)
    ids = {word: place for place, word in enumerate(words)}
    rows: list[tuple[list[int], list[int], int, list[int], list[int]]] = []
    for place, node in enumerate(of.at):
        for i in range(n):
            base, source, plain, changed = _pair(of, node, random, telling=i % 2 == 0)
            rows.append((_ids(base, ids), _ids(source, ids), place, _said(plain, ids), _said(changed, ids)))
    base, source, places, plain, changed = zip(*rows, strict=True)
    length = 1 + of.program.longest
    return Interchanges(
        _padded(base, length, 0), _padded(source, length, 0), torch.tensor(places),
        _padded(plain, length, UNSAID), _padded(changed, length, UNSAID),
    )  # fmt: skip


TRIES = 200  # draws until a pair has to be one whose interchange changes nothing


def _pair(
    of: Alignment, node: str, random: Random, *, telling: bool
) -> tuple[tuple[str, ...], tuple[str, ...], Values, Values]:
    for tries, ((base, trace), (source, other)) in enumerate(twos(of.program, random)):
        changed, plain = of.interchanged(node, base, other), trace[of.program.output]
        if changed is not None and (changed != plain or not telling or tries > TRIES):
            return base, source, plain, changed
    raise AssertionError("inputs without end")


Input = tuple[tuple[str, ...], Trace]
"""Words, and the program's values at each."""


def twos(program: Program, random: Random) -> Iterator[tuple[Input, Input]]:
    """Two inputs of one length, without end."""
    while True:
        one, other = program.draw(random), program.draw(random)
        if len(one) == len(other):
            try:
                yield (one, traced(program, one)), (other, traced(program, other))
            except WrongUse:  # a head would select two values at once
                continue


def _ids(words: tuple[str, ...], ids: dict[str, int]) -> list[int]:
    return [0, *(ids[word] for word in words)]


def _said(values: Values, ids: dict[str, int]) -> list[int]:
    """The answer at the BOS is the BOS, which is nothing."""
    return [0, *(0 if value is None else ids[shown(value)] for value in values)]


def _padded(rows: Sequence[list[int]], length: int, padding: int) -> Int[Tensor, "b p"]:
    return torch.tensor([[*row, *[padding] * (length - len(row))] for row in rows])
