"""What a program means: its values at every position, worked out on the words themselves."""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from microtome.core.errors import WrongUse
from microtome.toy.compiled.language import (
    Aggregate,
    Expression,
    Indices,
    Map,
    Mean,
    Program,
    Select,
    SequenceMap,
    Share,
    Tokens,
    Value,
    applied,
    ordered,
)

Values = tuple[Value | None, ...]
Trace = dict[Expression, Values]


def interpreted(program: Program, words: Iterable[str]) -> Values:
    """The output at each word; None where there is nothing.

    Raises:
        WrongUse: the words are no input, or an `Aggregate` selects positions whose values differ.
    """
    return traced(program, words)[program.output]


def traced(program: Program, words: Iterable[str], held: Mapping[Expression, Values] | None = None) -> Trace:
    """The value at each word of every expression, of tokens and of indices.

    Args:
        program: to run.
        words: its input.
        held: expressions whose values are not worked out but given, one a word: an interchange, where they were
            worked out on another input.

    Raises:
        WrongUse: as for `interpreted`.
    """
    given = program.checked(words)
    trace: Trace = {}
    for one in dict.fromkeys((Tokens(), Indices(), *ordered(program.output))):
        here = None if held is None else held.get(one)
        trace[one] = here or tuple(_value(one, trace, given, place) for place in range(len(given)))
    return trace


def selected(selector: Select, trace: Trace, place: int) -> tuple[int, ...]:
    """The positions that one position selects."""
    query = trace[selector.queries][place]
    keys = trace[selector.keys][: place + 1]
    if query is None:
        return ()
    return tuple(at for at, key in enumerate(keys) if key is not None and selector.predicate(key, query))


def matches(selector: Select, key: Value | None, query: Value | None) -> bool:
    """Whether a query selects a key; nothing selects nothing."""
    return key is not None and query is not None and bool(selector.predicate(key, query))


def _value(one: Expression, trace: Trace, words: tuple[str, ...], place: int) -> Value | None:
    match one:
        case Tokens():
            return words[place]
        case Indices():
            return place
        case Map():
            return applied(one.function, trace[one.of][place])
        case SequenceMap():
            return applied(one.function, trace[one.first][place], trace[one.second][place])
        case Aggregate():
            return _only(one, {trace[one.values][at] for at in selected(one.selector, trace, place)}, words, place)
        case Mean():
            found = [trace[one.values][at] for at in selected(one.selector, trace, place)]
            numbers = [Fraction(value) for value in found if isinstance(value, int | Fraction)]
            return sum(numbers, Fraction(0)) / max(len(found), 1)
        case Share():
            return Fraction(1, 1 + len(selected(one.selector, trace, place)))


def _only(one: Aggregate, values: set[Value | None], words: tuple[str, ...], place: int) -> Value | None:
    if len(values) > 1:
        raise WrongUse(
            f"run a program on {' '.join(words)!r}",
            found=f"{one.name!r} selects the values {sorted(map(str, values))} from position {place}",
            do="select one position, or give inputs on which one is selected",
        )
    return values.pop() if values else None
