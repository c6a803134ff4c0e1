"""A prompt explained from end to end: traced, proven, and reported on a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtome.circuit.graph import Graph
from microtome.circuit.proof import Proof
from microtome.circuit.proving import prove
from microtome.circuit.sizes import usual_sizes
from microtome.circuit.trace import trace
from microtome.circuit.traced import TraceConfig
from microtome.core.errors import MicrotomeError
from microtome.model.model import Model
from microtome.report.writer import report


@dataclass(frozen=True)
class Testing:
    """How a traced circuit is tested.

    Attributes:
        wanted: whether it is; None for where there is a counterfactual.
        sizes: numbers of units; None for the usual ones, as far as the ranking goes.
        draws, seed: as for `prove`.
    """

    wanted: bool | None = None
    sizes: tuple[int, ...] | None = None
    draws: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Explained:
    """What is known of a prompt.

    Attributes:
        graph: which units produced the answer.
        proof: the test of it, or None.
        unproved: why it could not be tested, where it was to be: the graph stands, and is a hypothesis.
        page: the report, where one was asked for.
    """

    graph: Graph
    proof: Proof | None
    unproved: MicrotomeError | None
    page: Path | None


def explain(
    model: Model, prompt: Any, counterfactual: Any = None, *, testing: Testing | None = None,
    rule: str | None = None, page: str | Path | None = None, **traced: Any,
) -> Explained:  # fmt: skip
    """Traces a prompt, proves the circuit, and writes the report.

    Args:
        model: opened by `microtome.open`.
        prompt, counterfactual: as for `trace`.
        testing: whether and how the circuit is tested.
        rule: by which units are ranked; None for the default.
        page: the HTML file; None for none.
        **traced: further arguments of `trace`.

    Raises:
        MicrotomeError: what `trace` and `report` raise; a test that cannot be made is returned as `unproved`.
    """
    how = testing or Testing()
    config = TraceConfig() if rule is None else TraceConfig(rule)
    graph = trace(model, prompt, counterfactual, config=config, **traced)
    proof, unproved = None, None
    if how.wanted or (how.wanted is None and counterfactual is not None):
        try:
            proof = prove(model, graph, how.sizes or usual_sizes(len(graph.ranking)), how.draws, how.seed)
        except MicrotomeError as error:
            unproved = error
    return Explained(graph, proof, unproved, None if page is None else report(graph, proof, page))
