"""`microtome trace`: which units produced an output, and the proof that they did."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import (
    BASIS_HELP,
    AsJson,
    Draws,
    GraphFile,
    ModelName,
    ReportFile,
    Rule,
    Seed,
    Sizes,
    sizes_of,
)
from microtome.cli.saying import give, say

EXAMPLE = 'Example: microtome trace "The capital of France is" --target " Paris" --out france.html'


@main.command(short_help="Trace the units that produced an output, and prove them.", epilog=EXAMPLE)
def trace(
    prompt: Annotated[str, typer.Argument(help="The text whose continuation is explained.")],
    model: ModelName = "smollm2",
    counterfactual: Annotated[str | None, typer.Option(help="As many tokens, one fact changed.")] = None,
    target: Annotated[str | None, typer.Option(help="The token explained; the most probable one by default.")] = None,
    against: Annotated[str | None, typer.Option(help="The token that it is compared with.")] = None,
    basis: Annotated[str, typer.Option(help=BASIS_HELP)] = "neurons",
    nodes: Annotated[int, typer.Option(min=1, help="Most units in the graph.")] = 1024,
    rule: Rule = None,
    out: ReportFile = None,
    graph: GraphFile = None,
    prove: Annotated[bool | None, typer.Option(help="Test the circuit; done where there is a counterfactual.")] = None,
    sizes: Sizes = None,
    draws: Draws = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Traces the units that produced an output, proves the circuit, and writes the report."""
    from microtome.model.opening import open
    from microtome.report.explaining import Testing, explain

    testing = Testing(prove, sizes_of(sizes), draws, seed)
    traced = {"target": target, "against": against, "basis": basis, "max_nodes": nodes}
    found = explain(open(model), prompt, counterfactual, testing=testing, rule=rule, page=out, **traced)
    say(found.graph.summary(), as_json=as_json)
    if graph is not None:
        say(f"graph: {found.graph.save(graph)}", as_json=as_json)
    if found.proof is not None:
        say(f"\n{found.proof.summary()}", as_json=as_json)
    if found.page is not None:
        say(f"report: {found.page}", as_json=as_json)
    if as_json:
        give(found.graph.to_dict() | {"proof": None if found.proof is None else found.proof.to_dict()})
    if found.unproved is not None:
        raise found.unproved
