"""What every basis promises on a network: each row sums to its value, all units keep everything, no units nothing."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from microtome.bench.checks.battery import Battery, Check, Complaints, apart
from microtome.bench.checks.networks import CLEAN, OTHER, small_network
from microtome.circuit.attribution import half, integrated, scored
from microtome.circuit.basis import Basis, BlockUnits
from microtome.circuit.change import Change, change
from microtome.circuit.edges import (
    Chosen,
    EdgeMatrix,
    carried_down,
    carried_up,
    direct_edges,
    from_units,
    read_vectors,
)
from microtome.circuit.faithfulness import patched, score_prompt
from microtome.circuit.nodesets import rankings
from microtome.circuit.operator import LinearOperator
from microtome.circuit.question import Question, ask
from microtome.circuit.target import TokenTarget
from microtome.circuit.trace import choose
from microtome.core.registry import Entry
from microtome.model.model import Model

TARGET = TokenTarget((5, 8), ("a", "b"), (6,), ("c",))
EXACT = 1e-11


@dataclass(frozen=True, eq=False)
class Cutting:
    """A basis, and the float64 network that it cuts."""

    model: Model
    basis: Basis

    def question(self) -> Question:
        """The clean prompt against the other."""
        return ask(self.model, CLEAN, OTHER, TARGET, self.basis)


def of_entry(entry: Entry[Any]) -> Cutting:
    """The basis of an entry on a small network."""
    return Cutting(small_network("gpt2"), entry.value)  # norms that keep float64, so that slopes can be measured


def matrix_of(question: Question, *, against: bool = True, n: int = 25) -> tuple[Change, Chosen, EdgeMatrix]:
    """What changes, the units of largest score, and the edges among them."""
    flow = change(question.clean, question.other if against else None, TARGET)
    chosen = choose(scored(question, half(question)).units * flow.differs, n)
    return flow, chosen, direct_edges(question.clean, flow, TARGET, chosen)


def cuts_into_blocks(cutting: Cutting) -> Complaints:
    """Blocks with distinct names, ids that rise, activations of every position."""
    cut = cutting.question().clean
    names = [block.name for block in cut.blocks]
    if len(set(names)) < len(names):
        yield f"two blocks of one name among {', '.join(names)}"
    for block in cut.blocks:
        if not isinstance(block, BlockUnits):
            yield f"the block {type(block).__name__} lacks what BlockUnits have"
            continue
        if block.values.shape != (len(CLEAN), len(block.ids)):
            yield f"{block.name}: activations {list(block.values.shape)} of {len(block.ids)} units"
        if bool((block.ids.diff() <= 0).any()):
            yield f"{block.name}: ids that do not rise"
        for place in block.writes:
            if place not in cut.written:
                yield f"{block.name} writes at {place}, where nothing is said to stand beside it"


def rows_sum(cutting: Cutting) -> Complaints:
    """Incoming edges, remainder and nonlinear term sum to the value or change of every node and of the target."""
    question = cutting.question()
    for against in (False, True):
        flow, _, matrix = matrix_of(question, against=against)
        if (worst := float(matrix.imbalance().max())) > EXACT:
            yield f"rows that miss their values by {worst:.3g} of what they hold"
        if abs(float(matrix.value[-1]) - flow.target) > EXACT:
            yield f"a target of {float(matrix.value[-1]):.6g}, and {flow.target:.6g} in the network"


def down_is_up_transposed(cutting: Cutting) -> Complaints:
    """The same edges, whether reads are pulled down or writes pushed up."""
    question = cutting.question()
    flow, chosen, _ = matrix_of(question, against=False)
    operator, clean = LinearOperator(question.clean), question.clean
    readers, sources = read_vectors(clean, TARGET, chosen), from_units(clean, flow, chosen)
    up, down = (carried(operator, readers, sources) for carried in (carried_up, carried_down))
    yield from apart("edges pushed up and pulled down", up, down, 0.0, 1e-12)


def decoding_is_what_units_write(cutting: Cutting) -> Complaints:
    """All activations decoded together are the sum of what single units write."""
    for block in cutting.question().clean.blocks:
        positions, columns = block.values.nonzero(as_tuple=True)
        for place in block.writes:
            each = block.write(place, positions, columns) * block.values[positions, columns, None]
            alone = each.new_zeros(len(CLEAN), each.shape[-1]).index_add(0, positions, each)
            decoded = block.decode(place, block.values)
            yield from apart(f"{block.name} at {place}, decoded together and alone", decoded, alone, 1e-9, 1e-9)


def all_and_none(cutting: Cutting) -> Complaints:
    """In the live network a set of all units is the clean pass, of none the pass with every unit exchanged."""
    question = cutting.question()
    clean, other = question.clean.values, question.baseline.units
    differs = clean != other
    ranked = rankings(clean - other, (clean - other).abs(), differs, 2, 0)
    scores = score_prompt(question, ranked, (int(differs.sum()),))
    ends = {"all units keep": (scores.kept[0, 0], scores.clean), "without all is": (scores.removed[0, 0], scores.empty)}
    for what, (found, expected) in ends.items():
        if abs(float(found) - expected) > 1e-9:
            yield f"{what} {float(found):.6g}, not {expected:.6g}"
    if abs(scores.span) <= 1e-6:
        yield "exchanging every unit changes nothing: edits do not reach the network"


def scores_are_slopes(cutting: Cutting) -> Complaints:
    """A score is the slope of what a live edit of one unit does."""
    question = cutting.question()
    nearly = question.clean.frozen.embed + 1e-12  # an edit that changes nothing is none
    gradients = integrated(replace(question, baseline=replace(question.baseline, embed=nearly)), 1)
    where = torch.zeros((1, *question.clean.values.shape), dtype=torch.bool)
    position = len(CLEAN) - 1
    for index, block in enumerate(question.clean.blocks):
        for column in block.values[position].nonzero()[:2, 0].tolist():
            one = where.clone()
            one[0, index, position, column] = True
            sides = []
            for by in (1e-5, -1e-5):
                moved = question.baseline.units.clone()
                moved[index, position, column] = block.values[position, column] + by
                there = replace(question, baseline=replace(question.baseline, units=moved))
                sides.append(float(patched(there, one)[0]))
            slope, score = (sides[0] - sides[1]) / 2e-5, float(gradients.units[index][position, column])
            if abs(score - slope) > 1e-5 * abs(slope) + 1e-8:
                yield f"{block.name}, unit {int(block.ids[column])}: a score of {score:.6g}, and a slope of {slope:.6g}"


BATTERY: Battery[Cutting] = Battery(
    "basis",
    (
        Check("it cuts a prompt into blocks", cuts_into_blocks),
        Check("decoding is what units write", decoding_is_what_units_write),
        Check("rows sum to their values", rows_sum),
        Check("down is the transpose of up", down_is_up_transposed),
        Check("all units keep everything, and none nothing", all_and_none),
        Check("a score is the slope of what an edit does", scores_are_slopes),
    ),
    of_entry,
)
