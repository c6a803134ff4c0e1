"""A small language of what causal transformers can do in one step each, in the manner of RASP.

A program is an expression: a value at each position of the input. Heads carry values between positions (`Aggregate`,
`Mean`, `selector_width`), MLPs turn one value into another (`Map`, `SequenceMap`). RASP: Weiss et al. 2021,
arXiv:2106.06981; compiled to weights: Lindner et al. 2023 (Tracr), arXiv:2301.05062.

An expression that several others read is one object, and is computed once. Attention is causal here: whatever the
predicate says, a position selects among itself and what stands before it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from random import Random
from typing import ClassVar, Union

from microtome.core.errors import WrongUse

Value = str | int | Fraction | tuple["Value", ...]
"""What stands at a position. None stands where there is nothing."""


@dataclass(frozen=True)
class Tokens:
    """The word at each position."""

    name: ClassVar[str] = "tokens"


@dataclass(frozen=True)
class Indices:
    """The position, from 0 for the first word after the BOS."""

    name: ClassVar[str] = "indices"


@dataclass(frozen=True, eq=False)
class Map:
    """function(of) at each position; nothing where `of` is nothing or the function returns None."""

    function: Callable[..., Value | None]
    of: "Expression"
    name: str = "map"


@dataclass(frozen=True, eq=False)
class SequenceMap:
    """function(first, second) at each position, of two categorical values; nothing where either is nothing."""

    function: Callable[..., Value | None]
    first: "Expression"
    second: "Expression"
    name: str = "sequence map"


@dataclass(frozen=True, eq=False)
class Select:
    """From each position, the positions up to it whose key satisfies predicate(key, query) with its query."""

    keys: "Expression"
    queries: "Expression"
    predicate: Callable[..., bool]


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The value at the selected position; nothing where none is selected.

    Several may be selected where their values are the same; the interpreter refuses an input where they are not.
    """

    selector: Select
    values: "Expression"
    name: str = "aggregate"


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of the selected values, which are numbers; 0 where none is selected. Numerical: see `Map`."""

    selector: Select
    values: "Expression"
    name: str = "mean"


@dataclass(frozen=True, eq=False)
class Share:
    """1 / (1 + how many are selected): what is left to the BOS of attention shared with all selected. Numerical."""

    selector: Select
    name: str = "share"


Expression = Union[Tokens, Indices, Map, SequenceMap, Aggregate, Mean, Share]  # noqa: UP007 - a name for isinstance
NUMERICAL = (Mean, Share)
ATTENDING = (Aggregate, Mean, Share)


def selector_width(selector: Select, name: str = "width") -> Map:
    """How many positions are selected: a head and the MLP that reads its share."""
    return Map(width_of_share, Share(selector, f"share of {name}"), name)


def width_of_share(share: Fraction) -> int:
    """w, of 1 / (1 + w)."""
    return round(1 / share) - 1


@dataclass(frozen=True)
class Program:
    """An expression, the inputs that it is for, and what its counterfactuals may change.

    Attributes:
        output: what the network says at each position; categorical.
        words: that inputs are made of.
        longest: words in the longest input.
        draw: an input at random; its answer is read at the last word.
        changed: the words that a counterfactual puts in each other's place; all words unless told.

    Raises:
        WrongUse: the output is a number, values are of the wrong kind for what reads them, or words are no words.
    """

    output: Expression
    words: tuple[str, ...]
    longest: int
    draw: Callable[[Random], tuple[str, ...]]
    changed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bad = [word for word in self.words if len(word.split()) != 1 or word != word.strip()]
        if bad or len(set(self.words)) < len(self.words) or self.longest < 1:
            raise WrongUse(
                "write a program", found=f"words {self.words}, longest={self.longest}",
                do="give different words without spaces, and inputs of one word or more",
            )  # fmt: skip
        if isinstance(self.output, NUMERICAL):
            raise _wrong_kind(self.output, "the output", "numerical")
        for one in ordered(self.output):
            _check_kinds(one)

    def domain(self, expression: Expression) -> tuple[Value, ...]:
        """Every value that an expression can have on these inputs, in order; numbers from the least."""
        return _domain(expression, self, {})

    def checked(self, words: Iterable[str]) -> tuple[str, ...]:
        """An input, if it is one.

        Raises:
            WrongUse: a word is none of the program's, or there are none or too many.
        """
        given = tuple(words)
        unknown = sorted({word for word in given if word not in self.words})
        if unknown or not 0 < len(given) <= self.longest:
            raise WrongUse(
                "run a program", found=f"unknown words {unknown}" if unknown else f"{len(given)} words",
                do=f"give 1 to {self.longest} of the words {' '.join(self.words)}",
            )  # fmt: skip
        return given


def inputs_of(one: Expression) -> tuple[Expression, ...]:
    """What an expression reads directly: of a head keys, queries, values."""
    match one:
        case Map():
            return (one.of,)
        case SequenceMap():
            return one.first, one.second
        case Aggregate() | Mean():
            return one.selector.keys, one.selector.queries, one.values
        case Share():
            return one.selector.keys, one.selector.queries
        case _:
            return ()


def ordered(output: Expression) -> tuple[Expression, ...]:
    """All expressions of a program once each, what is read before what reads it."""
    found: dict[Expression, None] = {}

    def visit(one: Expression) -> None:
        if one not in found:
            for source in inputs_of(one):
                visit(source)
            found[one] = None

    visit(output)
    return tuple(found)


def applied(function: Callable[..., Value | None], *values: Value | None) -> Value | None:
    """function(*values), nothing of nothing; a truth value becomes 0 or 1."""
    found = None if None in values else function(*values)
    return int(found) if isinstance(found, bool) else found


def _check_kinds(one: Expression) -> None:
    if not isinstance(one, Map):
        for source in inputs_of(one):
            if isinstance(source, NUMERICAL):
                raise _wrong_kind(source, f"{one.name!r}", "numerical")


def _wrong_kind(one: Expression, reader: str, kind: str) -> WrongUse:
    return WrongUse(
        "write a program", found=f"{reader} reads {one.name!r}, which is {kind}",
        do="put a Map between, from its numbers to a few values",
    )  # fmt: skip


def _domain(one: Expression, program: Program, known: dict[Expression, tuple[Value, ...]]) -> tuple[Value, ...]:
    if one not in known:
        known[one] = tuple(dict.fromkeys(_values(one, program, known)))
    return known[one]


def _values(one: Expression, program: Program, known: dict[Expression, tuple[Value, ...]]) -> Iterator[Value]:
    match one:
        case Tokens():
            yield from program.words
        case Indices():
            yield from range(program.longest)
        case Map():
            yield from _some(applied(one.function, value) for value in _domain(one.of, program, known))
        case SequenceMap():
            first, second = _domain(one.first, program, known), _domain(one.second, program, known)
            yield from _some(applied(one.function, a, b) for a in first for b in second)
        case Aggregate():
            yield from _domain(one.values, program, known)
        case Mean():
            yield from _means(one, _domain(one.values, program, known), program.longest)
        case Share():
            yield from (Fraction(1, 1 + width) for width in range(program.longest, -1, -1))


def _some(values: Iterable[Value | None]) -> Iterator[Value]:
    return (value for value in values if value is not None)


def _means(one: Mean, values: tuple[Value, ...], longest: int) -> list[Fraction]:
    """All means of up to `longest` values, any of which may be missing and then counts as 0."""
    if wrong := [value for value in values if not isinstance(value, int | Fraction)]:
        raise WrongUse(
            "write a program", found=f"{one.name!r} is a mean of {wrong[0]!r}", do="average numbers: map words to them"
        )
    steps = {Fraction(0), *(Fraction(value) for value in values if isinstance(value, int | Fraction))}
    sums, means = {Fraction(0)}, {Fraction(0)}
    for count in range(1, longest + 1):
        sums = {total + step for total in sums for step in steps}
        means |= {total / count for total in sums}
    return sorted(means)
