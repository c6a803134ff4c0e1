"""Which node of a network stands for which values of a program, and what interchanging one ought to change."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from microtome.core.errors import WrongUse
from microtome.data.task import Task
from microtome.toy.compiled.interpreter import Trace, Values, traced
from microtome.toy.compiled.language import Expression, Program
from microtome.toy.compiled.parts import parts_of
from microtome.toy.compiled.truth import Truth, Wiring


@dataclass(frozen=True)
class Alignment:
    """A program laid over a network of so many layers and heads.

    Attributes:
        program: whose values.
        at: the expressions that a node computes, by name: `head.L.H` one, `mlp.L` one or more.
        layers, heads: of the network; heads are of a layer.
    """

    program: Program
    at: Mapping[str, tuple[Expression, ...]]
    layers: int
    heads: int

    @property
    def nodes(self) -> tuple[str, ...]:
        """All heads and MLPs of the network, layer by layer."""
        return tuple(
            name
            for layer in range(self.layers)
            for name in (*(f"head.{layer}.{head}" for head in range(self.heads)), f"mlp.{layer}")
        )

    @property
    def others(self) -> tuple[str, ...]:
        """The nodes that have no part in the program."""
        return tuple(name for name in self.nodes if name not in self.at)

    @property
    def truth(self) -> Truth:
        """What is known: the nodes. Who reads whom is left to the training, and not written down."""
        roles = {name: ", ".join(one.name for one in held) for name, held in self.at.items()}
        roles = {"embed": "tokens and indices", **roles, "logits": self.program.output.name}
        return Truth(Wiring(frozenset(roles), frozenset()), roles, frozenset(self.others), frozenset(), nodes_only=True)

    def interchanged(self, node: str, words: tuple[str, ...], other: Trace) -> Values | None:
        """The program's output on an input, with a node's values as on another of the same length.

        None where the program has no answer then: a head would select two values at once.
        """
        try:
            held = {one: other[one] for one in self.at[node]}
            return traced(self.program, words, held)[self.program.output]
        except WrongUse:
            return None

    def causal(self, task: Task) -> Wiring:
        """The nodes whose interchange with the counterfactual changes the answer of some row, at the last word.

        Raises:
            WrongUse: a row is no input of the program.
        """
        found: set[str] = set()
        for row in task.rows:
            words = tuple(row.clean.split())
            answer = traced(self.program, words)[self.program.output][-1]
            other = traced(self.program, row.counterfactual.split())
            for node in self.at:
                changed = self.interchanged(node, words, other)
                if changed is not None and changed[-1] != answer:
                    found.add(node)
        return Wiring(frozenset({"embed", *found, "logits"} if found else ()), frozenset())


def aligned(program: Program, layers: int, heads: int, seed: int) -> Alignment:
    """Lays a program over a network, each value as early as what it reads allows, heads at places drawn by the seed.

    Raises:
        WrongUse: the program needs more layers, or more heads in one.
    """
    parts, random = parts_of(program), Random(seed)
    at: dict[str, tuple[Expression, ...]] = {}
    most = max((sum(head.layer == layer for head in parts.heads) for layer in range(parts.layers)), default=0)
    if parts.layers > layers or most > heads:
        raise WrongUse(
            "lay a program over a network", found=f"{layers} layers of {heads} heads",
            do=f"give {parts.layers} layers and {most} heads or more",
        )  # fmt: skip
    for layer in range(layers):
        here = [head.of for head in parts.heads if head.layer == layer]
        slots = sorted(random.sample(range(heads), len(here)))
        at |= {f"head.{layer}.{slot}": (of,) for slot, of in zip(slots, here, strict=True)}
        if mapped := tuple(dict.fromkeys(unit.of for unit in parts.units if unit.layer == layer)):
            at[f"mlp.{layer}"] = mapped
    return Alignment(program, at, layers, heads)
