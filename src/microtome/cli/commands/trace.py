"""`microtome trace`: which units produced an output, and the proof that they did."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import (
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
from microtome.cli.ranking import ranked_by, usual_sizes
from microtome.cli.saying import give, say
from microtome.core.errors import MicrotomeError

EXAMPLE = (
    'Example: microtome trace "The capital of France is" --counterfactual "The capital of Germany is" '
    '--target " Paris" --against " Berlin" --out france.html'
)


@main.command(short_help="Trace the units that produced an output, and prove them.", epilog=EXAMPLE)
def trace(
    prompt: Annotated[str, typer.Argument(help="The text whose continuation is explained.")],
    model: ModelName = "smollm2",
    counterfactual: Annotated[str | None, typer.Option(help="As many tokens, one fact changed.")] = None,
    target: Annotated[str | None, typer.Option(help="The token explained; the most probable one by default.")] = None,
    against: Annotated[str | None, typer.Option(help="The token that it is compared with.")] = None,
    basis: Annotated[
        str, typer.Option(help='The units: neurons, heads, dictionaries by name or path; several: "A + B".')
    ] = "neurons",
    nodes: Annotated[int, typer.Option(min=1, help="Most units in the graph.")] = 1024,
    rule: Rule = None,
    out: ReportFile = None,
    graph: GraphFile = None,
    prove: Annotated[bool | None, typer.Option(help="Test the circuit; done where there is a counterfactual.")] = None,
    sizes: Sizes = None,
    draws: Draws = 20,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Traces the units that produced an output, proves the circuit, and writes the report."""
    proving = counterfactual is not None if prove is None else prove
    asked = sizes_of(sizes)

    import microtome as mt

    opened = mt.open(model)
    traced = mt.trace(opened, prompt, counterfactual, target, against, basis, nodes, config=ranked_by(rule))
    say(traced.summary(), as_json=as_json)
    if graph is not None:
        say(f"graph: {traced.save(graph)}", as_json=as_json)
    proof, unproved = None, None
    try:
        proof = mt.prove(opened, traced, asked or usual_sizes(len(traced.ranking)), draws, seed) if proving else None
    except MicrotomeError as error:  # the trace stands, and the report says that it was not tested
        unproved = error
    if proof is not None:
        say(f"\n{proof.summary()}", as_json=as_json)
    if out is not None:
        say(f"report: {mt.report(traced, proof, out)}", as_json=as_json)
    if as_json:
        give(traced.to_dict() | {"proof": None if proof is None else proof.to_dict()})
    if unproved is not None:
        raise unproved
