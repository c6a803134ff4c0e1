"""What a program becomes: directions of the residual stream, heads, and MLP units, each with the layer that it needs.

A categorical value is one direction for each of its values, 1 where it has that value and all 0 where it is nothing; a
number is one direction that holds it. A head is a table of which keys which queries select; a unit says yes to one
value, or to one pair, or measures where a number stands between two of its values.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from microtome.toy.compiled.language import (
    ATTENDING,
    NUMERICAL,
    Aggregate,
    Expression,
    Indices,
    Map,
    Mean,
    Program,
    SequenceMap,
    Share,
    Tokens,
    Value,
    applied,
    inputs_of,
    ordered,
)

COLDNESS = 40.0  # a selected score above one that is not: e⁻⁴⁰ of the attention goes astray, e⁻²⁰ to an idle BOS


@dataclass(frozen=True)
class Direction:
    """A residual direction: of one value of an expression, or of its number (`value` None); of the BOS (`of` None)."""

    of: Expression | None
    value: Value | None = None

    def __str__(self) -> str:
        if self.of is None:
            return "BOS"
        return self.of.name if self.value is None else f"{self.of.name}:{shown(self.value)}"

    def held(self, value: Value | None) -> float:
        """What it holds where its expression has this value."""
        if self.value is not None:
            return float(value == self.value)
        return float(value) if isinstance(value, int | Fraction) else 0.0


BOS = Direction(None)


@dataclass(frozen=True)
class Head:
    """A head, before it has a place.

    Attributes:
        of: the expression that it computes.
        layer: in which it stands.
        queries: by direction and channel; channels of keys.
        bos: by how much each query likes the BOS, whose key has a channel of its own, the last.
        keys, values: by direction and channel.
        writes: by channel and direction.
    """

    of: Aggregate | Mean | Share
    layer: int
    queries: Mapping[tuple[Direction, int], float]
    bos: float
    keys: Mapping[tuple[Direction, int], float]
    values: Mapping[tuple[Direction, int], float]
    writes: Mapping[tuple[int, Direction], float]

    @property
    def channels(self) -> int:
        """How wide it has to be."""
        used = [channel for _, channel in (*self.queries, *self.keys, *self.values)]
        return 1 + max([*used, *(channel for channel, _ in self.writes)])

    @property
    def role(self) -> str:
        """What it does, in words."""
        return f"{type(self.of).__name__.lower()}: {self.of.name}"


@dataclass(frozen=True)
class Unit:
    """An MLP unit, before it has a place: relu(bias + Σ weight · direction), and what it writes.

    Attributes:
        of: the expression that it is part of.
        layer: in which it stands.
        role: what it does, in words.
        reads, writes: weights by direction.
        bias: before the relu.
    """

    of: Map | SequenceMap
    layer: int
    role: str
    reads: Mapping[Direction, float]
    bias: float
    writes: Mapping[Direction, float]


@dataclass(frozen=True)
class Parts:
    """Everything that a program becomes.

    Attributes:
        directions: of the stream, the BOS first.
        heads, units: that the program needs, by layer.
        layers: so many, that each reads only what stands there already.
    """

    directions: tuple[Direction, ...]
    heads: tuple[Head, ...]
    units: tuple[Unit, ...]
    layers: int


def parts_of(program: Program) -> Parts:
    """Compiles a program into parts: each expression as early as what it reads allows."""
    expressions = ordered(program.output)
    ready: dict[Expression, int] = {}  # in half layers: 2l before layer l, 2l + 1 between its attention and its MLP
    heads: list[Head] = []
    units: list[Unit] = []
    for one in expressions:
        start = max((ready[source] for source in inputs_of(one)), default=0)
        ready[one] = start
        if isinstance(one, ATTENDING):
            layer = -(-start // 2)
            heads.append(_head(one, layer, program))
            ready[one] = 2 * layer + 1
        elif isinstance(one, Map | SequenceMap):
            layer = start // 2
            units += _units(one, layer, program)
            ready[one] = 2 * layer + 2
    directions = tuple(where for one in (Tokens(), Indices(), *expressions) for where in directions_of(one, program))
    return Parts(
        (BOS, *dict.fromkeys(directions)),
        tuple(sorted(heads, key=lambda head: head.layer)),
        tuple(sorted(units, key=lambda unit: unit.layer)),
        -(-ready[program.output] // 2),
    )


def directions_of(one: Expression, program: Program) -> tuple[Direction, ...]:
    """Where the stream holds an expression."""
    if isinstance(one, NUMERICAL):
        return (Direction(one),)
    return tuple(Direction(one, value) for value in program.domain(one))


def shown(value: Value) -> str:
    """A value as a word."""
    return ",".join(map(shown, value)) if isinstance(value, tuple) else str(value)


def _head(one: Aggregate | Mean | Share, layer: int, program: Program) -> Head:
    keys, queries = program.domain(one.selector.keys), program.domain(one.selector.queries)
    accepted = {(key, query) for key in keys for query in queries if one.selector.predicate(key, query)}
    used = [key for key in keys if any((key, query) in accepted for query in queries)]
    channel = {key: place for place, key in enumerate(used)}
    return Head(
        one, layer,
        queries={(Direction(one.selector.queries, query), channel[key]): COLDNESS for key, query in accepted},
        bos=COLDNESS if isinstance(one, Share) else COLDNESS / 2,
        keys={(BOS, len(used)): 1.0, **{(Direction(one.selector.keys, key), channel[key]): 1.0 for key in used}},
        values=_values(one, program),
        writes=dict.fromkeys(enumerate(directions_of(one, program)), 1.0),
    )  # fmt: skip


def _values(one: Aggregate | Mean | Share, program: Program) -> dict[tuple[Direction, int], float]:
    if isinstance(one, Share):
        return {(BOS, 0): 1.0}
    if isinstance(one, Aggregate):
        return {(where, place): 1.0 for place, where in enumerate(directions_of(one.values, program))}
    numbers = [value for value in program.domain(one.values) if not isinstance(value, str | tuple)]
    return {(Direction(one.values, number), 0): float(number) for number in numbers if number}


def _units(one: Map | SequenceMap, layer: int, program: Program) -> Iterator[Unit]:
    if isinstance(one, SequenceMap):
        for first in program.domain(one.first):
            for second in program.domain(one.second):
                yield from _yes(one, layer, {one.first: first}, {one.second: second})
    elif isinstance(one.of, NUMERICAL):
        yield from _steps(one, layer, program)
    else:
        for value in program.domain(one.of):
            yield from _yes(one, layer, {one.of: value})


def _yes(one: Map | SequenceMap, layer: int, *inputs: Mapping[Expression, Value]) -> Iterator[Unit]:
    """A unit that is 1 where all inputs have these values, and exactly 0 elsewhere, with half a value to spare."""
    pairs = [pair for each in inputs for pair in each.items()]
    result = applied(one.function, *(value for _, value in pairs))
    if result is None or (len(pairs) == 2 and pairs[0][0] == pairs[1][0] and pairs[0][1] != pairs[1][1]):
        return  # nothing to say, or one expression read twice, which cannot have two values
    reads = {Direction(of, value): 2.0 for of, value in pairs}
    role = f"{one.name}: {', '.join(shown(value) for _, value in pairs)} → {shown(result)}"
    yield Unit(one, layer, role, reads, 1.0 - 2 * len(reads), {Direction(one, result): 1.0})


def _steps(one: Map, layer: int, program: Program) -> Iterator[Unit]:
    """Two units at each number where the result changes, flat but for the middle half of the gap; silent at the BOS."""
    numbers = [value for value in program.domain(one.of) if not isinstance(value, str | tuple)]
    results = [applied(one.function, number) for number in numbers]
    where = Direction(one.of)
    if results[0] is not None:
        role = f"{one.name}: {shown(results[0])} unless more"
        yield Unit(one, layer, role, {BOS: -1.0}, 1.0, {Direction(one, results[0]): 1.0})
    for (low, before), (high, after) in pairwise(zip(numbers, results, strict=True)):
        if before == after:
            continue
        slope = float(2 / (high - low))
        writes = {Direction(one, value): sign for value, sign in ((after, 1.0), (before, -1.0)) if value is not None}
        for sign, start in ((1.0, (3 * low + high) / 4), (-1.0, (low + 3 * high) / 4)):
            role = f"{one.name}: {'rises above' if sign > 0 else 'flat above'} {float(start):.3g}"
            reads = {where: slope, BOS: -1.0 - slope * float(max(numbers[-1] - start, 0))}
            yield Unit(one, layer, role, reads, -slope * float(start), {to: sign * size for to, size in writes.items()})
