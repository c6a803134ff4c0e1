"""Compiling a program: a GPT-2 that computes it, and the truth about which of its parts do what."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.data.task import Task
from microtome.model.model import Model
from microtome.toy.compiled.answers import expected, said
from microtome.toy.compiled.causal import causal_on
from microtome.toy.compiled.interpreter import traced
from microtome.toy.compiled.language import Program, Share
from microtome.toy.compiled.pairs import pairs_of
from microtome.toy.compiled.parts import parts_of
from microtome.toy.compiled.placing import CompileConfig, Placed, placed
from microtome.toy.compiled.programs import PROGRAMS
from microtome.toy.compiled.truth import Truth, Wiring, truth_of
from microtome.toy.compiled.vocabulary import tokenizer_of, words_of
from microtome.toy.compiled.weights import network
from microtome.toy.gpt2 import SmallNetwork


@dataclass(frozen=True, eq=False)
class Compiled(SmallNetwork):
    """A program as a network, with the truth beside it.

    Attributes:
        program: what was compiled.
        truth: what each part does.
        placed: the program's parts and their places.
        words: of the vocabulary, by token id; the first is the BOS, which is also the answer "nothing".
    """

    program: Program
    truth: Truth
    placed: Placed
    words: tuple[str, ...]

    def expected(self, words: Iterable[str]) -> tuple[str, ...]:
        """The word that the program says at the BOS, where it is nothing, and at each word of an input.

        Raises:
            WrongUse: as for `interpreted`.
        """
        return expected(self.program, self.words, words)

    def said(self, model: Model, inputs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
        """The word that the network says at each token of each input, by its largest logit."""
        return said(model, self.words, inputs)

    def stream(self, words: Iterable[str]) -> Float[Tensor, "p r"]:
        """What the rows of `placed.rows` hold at the end, at the BOS and at each word, in float64.

        Raises:
            WrongUse: as for `interpreted`.
        """
        given = tuple(words)
        trace = traced(self.program, given)
        columns = [[1.0, *(0.0 for _ in given)]]  # of the BOS, which is the first direction
        columns += [
            [float(isinstance(where.of, Share)), *map(where.held, trace[where.of])]  # the BOS keeps all of a share
            for where in self.placed.parts.directions
            if where.of is not None
        ]
        return torch.tensor(columns, dtype=torch.float64).T

    def causal(self, task: Task) -> Wiring:
        """The nodes and edges that can change an answer of this task: see `causal_on`.

        Raises:
            WrongUse: a row is no input of the program.
        """
        return causal_on(self.program, self.placed, task)

    def pairs(self, n: int = 50, seed: int = 0) -> Task:
        """Inputs with counterfactuals of one other word and another answer: see `pairs_of`.

        Raises:
            WrongUse: there are fewer than n.
        """
        return pairs_of(self.program, n, seed)


def compiled(program: Program | str, config: CompileConfig | None = None) -> Compiled:
    """Compiles a program.

    Args:
        program: one, or the name of one in `PROGRAMS`.
        config: how much is around it, and the seed of where it stands.

    Raises:
        UnknownName: no program is called so; the message lists the nearest.
        WrongUse: outputs that are no words, or means of values that are no numbers.
    """
    of = PROGRAMS.get(program) if isinstance(program, str) else program
    words = words_of(of)
    parts = placed(parts_of(of), config or CompileConfig())
    return Compiled(network(of, parts, words), tokenizer_of(words), of, truth_of(of, parts), parts, words)
