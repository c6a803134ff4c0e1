"""What of a compiled circuit can change an answer on given pairs, worked out from the program's values alone.

An edge counts where what it carries differs between the two inputs of some pair, at a position where this matters: it
would change the answer of what reads it (a score of a head, a value that a head selects, the output of a unit) with the
rest as on one of the two inputs; and where such edges lead on to the logits at the last position. What writes the same
on both inputs, a constant say, is in the program's structure and not here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from microtome.data.task import Task
from microtome.toy.compiled.interpreter import Trace, matches, selected, traced
from microtome.toy.compiled.language import ATTENDING, Aggregate, Expression, Mean, Program, Share, Value, ordered
from microtome.toy.compiled.parts import Direction, Unit
from microtome.toy.compiled.placing import Placed
from microtome.toy.compiled.truth import Edge, Wiring, ports, writes_of

Changed = tuple[Expression, int]
"""An expression and a position where its value differs and matters."""


Written = dict[str, frozenset[Direction]]
"""What each source writes."""


@dataclass(frozen=True)
class Pair:
    """The values of a program on the two inputs of a row."""

    clean: Trace
    other: Trace

    @property
    def length(self) -> int:
        """Words in either."""
        return len(next(iter(self.clean.values())))

    def differs(self, one: Expression, place: int) -> bool:
        """Whether a value is not the same on both."""
        return self.clean[one][place] != self.other[one][place]

    def directions(self, one: Expression, place: int) -> frozenset[Direction]:
        """The directions of an expression that are not the same on both."""
        held = [Direction(one, trace[one][place]) for trace in (self.clean, self.other)]
        if not isinstance(one, Aggregate) and isinstance(one, ATTENDING):
            return frozenset({Direction(one)})
        return frozenset(where for where in held if where.value is not None)


def causal_on(program: Program, placed: Placed, task: Task) -> Wiring:
    """The nodes and edges that can change an answer of some row.

    Raises:
        WrongUse: a row is no input of the program.
    """
    edges: set[Edge] = set()
    written = writes_of(program, placed)
    for row in task.rows:
        edges |= set(_of_pair(program, placed, written, Pair(traced(program, row.clean.split()),
                                                    traced(program, row.counterfactual.split()))))  # fmt: skip
    nodes = {source for source, _ in edges} | ({"logits"} if edges else set())
    return Wiring(frozenset(nodes), frozenset(edges))


def _of_pair(program: Program, placed: Placed, written: Written, pair: Pair) -> Iterator[Edge]:
    """Backwards from the answer: who reads a change that matters, and who wrote it."""
    matters: dict[Expression, set[int]] = defaultdict(set)
    last = pair.length - 1
    if not pair.differs(program.output, last):
        return
    matters[program.output].add(last)
    yield from _sources("logits", pair.directions(program.output, last), last, pair, placed, written)
    for one in reversed(ordered(program.output)):
        for reader, source, place, directions in _readings(one, sorted(matters[one]), pair, placed):
            matters[source].add(place)
            yield from _sources(reader, directions, place, pair, placed, written)


Reading = tuple[str, Expression, int, frozenset[Direction]]
"""Who reads a change, of what, where, in which directions."""


def _readings(one: Expression, places: list[int], pair: Pair, placed: Placed) -> Iterator[Reading]:
    for name, head in placed.heads.items():
        if head.of == one:
            for place in places:
                for port, source, at, directions in _by_head(head.of, place, pair):
                    yield f"{name}.{port}", source, at, directions & ports(head)[port]
    for name, unit in placed.units.items():
        if unit.of == one:
            for place in places:
                yield from _by_unit(name, unit, place, pair)


def _by_head(one: Aggregate | Mean | Share, place: int, pair: Pair) -> Iterator[Reading]:
    selector, traces = one.selector, (pair.clean, pair.other)
    keys = [{trace[selector.keys][at] for trace in traces} for at in range(place + 1)]
    queries = {trace[selector.queries][place] for trace in traces}

    def unlike(pairs: Iterable[tuple[Value | None, Value | None]]) -> bool:
        return len({matches(selector, key, query) for key, query in pairs}) > 1

    if any(unlike((key, query) for query in queries) for at in keys for key in at):
        yield "q", selector.queries, place, pair.directions(selector.queries, place)
    for at, here in enumerate(keys):
        if any(unlike((key, query) for key in here) for query in queries):
            yield "k", selector.keys, at, pair.directions(selector.keys, at)
    if not isinstance(one, Share):
        for at in {at for trace in traces for at in selected(selector, trace, place)}:
            if pair.differs(one.values, at):
                yield "v", one.values, at, pair.directions(one.values, at)


def _by_unit(name: str, unit: Unit, place: int, pair: Pair) -> Iterator[Reading]:
    for source in {where.of for where in unit.reads if where.of is not None}:
        swaps = ((pair.clean, pair.other), (pair.other, pair.clean))
        if any(_activity(unit, rest, rest, source, place) != _activity(unit, rest, own, source, place)
               for rest, own in swaps):  # fmt: skip
            directions = pair.directions(source, place) & set(unit.reads)
            yield name, source, place, directions


def _activity(unit: Unit, rest: Trace, own: Trace, source: Expression | None, place: int) -> float:
    """Of a unit that reads one source from one trace and the rest from another."""
    held = (
        weight * where.held((own if where.of == source else rest)[where.of][place])
        for where, weight in unit.reads.items()
        if where.of is not None
    )
    return max(0.0, round(unit.bias + sum(held), 9))


def _sources(
    reader: str, directions: frozenset[Direction], place: int, pair: Pair, placed: Placed,
    written: Written,
) -> Iterator[Edge]:  # fmt: skip
    """Who wrote a change: of units only those that themselves differ."""
    for source, writes in written.items():
        if writes & directions:
            unit = placed.units.get(source)
            if unit is None or _differs(unit, place, pair):
                yield source, reader


def _differs(unit: Unit, place: int, pair: Pair) -> bool:
    return _activity(unit, pair.clean, pair.clean, None, place) != _activity(unit, pair.other, pair.other, None, place)
