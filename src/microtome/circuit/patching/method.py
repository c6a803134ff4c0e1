"""A method: settings, and a way from a case to scores of nodes and edges. One file each in `methods/`.

Sign, for every method: positive supports the target. A score is M(clean) − M(with the node or edge at its
counterfactual value), exactly or to first order, averaged over rows: noising. Denoising, where it is offered, is
M(counterfactual, with the node at its clean value) − M(counterfactual).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from microtome.circuit.patching.case import Case
from microtome.circuit.patching.components import Edge
from microtome.core.registry import Registry


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found.

    Attributes:
        nodes: scores by name; beside nodes of the graph, a method may score single readers of heads
            (`head.0.1.q`) and MLP units (`unit.0.17`).
        edges: scores of all of them, `[s, r]`, or of `tried` ones; None for methods that have none.
        tried: the edges that have a score; None for all.
        kept: the circuit that the method itself settles on, where it does.
        order: edges in the order in which they were left out, where there is one.
    """

    nodes: Mapping[str, float] = field(default_factory=dict)
    edges: Float[Tensor, "s r"] | None = None
    tried: tuple[Edge, ...] | None = None
    kept: frozenset[Edge] | None = None
    order: tuple[Edge, ...] = ()


class Method(Protocol):
    """A frozen `Config` of settings that can score a case."""

    def score(self, case: Case) -> Found:
        """Scores of nodes and edges."""
        ...


METHODS: Registry[type[Method]] = Registry("method", folder="microtome.circuit.patching.methods")
