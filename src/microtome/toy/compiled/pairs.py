"""Tasks for compiled programs: an input, the same with one word changed, and the two answers at the last word."""

from collections.abc import Iterator
from random import Random

from microtome.core.errors import WrongUse
from microtome.data.row import Row
from microtome.data.task import PATIENCE, Task
from microtome.toy.compiled.interpreter import interpreted
from microtome.toy.compiled.language import Program
from microtome.toy.compiled.parts import shown


def pairs_of(program: Program, n: int, seed: int) -> Task:
    """So many different rows, drawn by the seed; a larger task begins with the rows of a smaller.

    Raises:
        WrongUse: n is below 1, or so many were not found.
    """
    return gathered("compiled", _candidates(program, Random(seed)), n, seed)


def gathered(name: str, candidates: Iterator[Row | None], n: int, seed: int) -> Task:
    """A task of the first n different rows; None is a candidate that was none.

    Raises:
        WrongUse: n is below 1, or so many were not found.
    """
    rows: dict[Row, None] = {}
    misses = 0
    for row in candidates:
        misses = misses + 1 if row is None or row in rows else 0
        if row is not None:
            rows[row] = None
        if len(rows) >= n or misses == PATIENCE:
            break
    if not 0 < n <= len(rows):
        raise WrongUse(
            f"draw pairs of inputs, {name}", found=f"n={n}, and {len(rows)} pairs",
            do="ask for one pair or more, and for no more than there are",
        )  # fmt: skip
    return Task(name, tuple(rows), source=__name__, seed=seed, version=1)


def _candidates(program: Program, random: Random) -> Iterator[Row | None]:
    """Rows, and None where a draw gave none: the answers are the same, or one is nothing."""
    words = program.changed or program.words
    while True:
        clean = program.draw(random)
        place = random.choice([at for at, word in enumerate(clean) if word in words])
        other = random.choice([word for word in words if word != clean[place]])
        counterfactual = (*clean[:place], other, *clean[place + 1 :])
        target, against = _answer(program, clean), _answer(program, counterfactual)
        differ = None not in (target, against) and target != against
        yield Row(" ".join(clean), " ".join(counterfactual), f" {target}", f" {against}") if differ else None


def _answer(program: Program, words: tuple[str, ...]) -> str | None:
    """What the program says at the last word; None too where the change has left it no answer of its own."""
    try:
        value = interpreted(program, words)[-1]
    except WrongUse:  # two values selected at once
        return None
    return None if value is None else shown(value)
