"""What a program answers, and what a network says, word by word."""

from collections.abc import Iterable, Sequence

from microtome.model.model import Model
from microtome.toy.compiled.interpreter import interpreted
from microtome.toy.compiled.language import Program, Value
from microtome.toy.compiled.parts import shown


def expected(program: Program, vocabulary: tuple[str, ...], words: Iterable[str]) -> tuple[str, ...]:
    """The word that the program says at the BOS, where it is nothing, and at each word of an input.

    Args:
        program: whose answers.
        vocabulary: by token id, the BOS first, which is the answer "nothing".
        words: the input.

    Raises:
        WrongUse: as for `interpreted`.
    """

    def word(value: Value | None) -> str:
        return vocabulary[0] if value is None else shown(value)

    return (vocabulary[0], *map(word, interpreted(program, words)))


def said(model: Model, vocabulary: tuple[str, ...], inputs: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """The word that a network says at each token of each input, by its largest logit."""
    best = model.run([" ".join(words) for words in inputs])["logits"].argmax(-1).tolist()
    return [tuple(vocabulary[one] for one in row[: 1 + len(words)]) for row, words in zip(best, inputs, strict=True)]
