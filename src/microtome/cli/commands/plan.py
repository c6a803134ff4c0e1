"""`microtome plan`: what a run would take, before anything runs."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson, ModelName
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome plan --d 8192 --units 34000000 --k 128 --tokens 8000000000 --on h100 --columns 0"


@main.command(short_help="Predict memory, disk, work and hours of a run.", epilog=EXAMPLE)
def plan(
    d: Annotated[int, typer.Option(min=0, help="Width of the activations.")] = 0,
    units: Annotated[int, typer.Option(min=0, help="Units of the dictionary.")] = 0,
    k: Annotated[int, typer.Option(min=1, help="Active units a token.")] = 32,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to train on.")] = 2_000_000,
    batch: Annotated[int, typer.Option(min=1, help="Tokens a step.")] = 4096,
    on: Annotated[str, typer.Option(help="a100, h100, h200, b200, or `here`: this machine.")] = "here",
    measured: Annotated[bool, typer.Option("--measured", help="Measure this machine: the same as --on here.")] = False,
    columns: Annotated[int, typer.Option(min=0, help="Processes that share the units; 0: as few as hold them.")] = 1,
    rows: Annotated[int, typer.Option(min=1, help="Processes that share a batch, for each of those.")] = 1,
    parameters: Annotated[float, typer.Option(min=0, help="Of the model, up to the site; 0: run already.")] = 0.0,
    sites: Annotated[int, typer.Option(min=1, help="Sites that are harvested.")] = 1,
    distinct: Annotated[int, typer.Option(min=0, help="Tokens that are kept; 0: as many as are trained on.")] = 0,
    dtype: Annotated[str, typer.Option(help="On the disk: bfloat16, float32, int8 or none.")] = "bfloat16",
    aux_k: Annotated[int, typer.Option(min=0, help="Dead units that a token revives.")] = 256,
    dead: Annotated[float, typer.Option(min=0, max=1, help="Share of units dead at the worst, for memory.")] = 0.1,
    prompt: Annotated[int, typer.Option(min=0, help="Plan a trace and its proof instead: tokens of the prompt.")] = 0,
    nodes: Annotated[int, typer.Option(min=1, help="Units of that trace.")] = 1024,
    model: ModelName = "smollm2",
    as_json: AsJson = False,
) -> None:
    """Memory, disk, work, bytes on the wire and hours of a harvest and a training run, by formulas."""
    import microtome as mt

    if prompt:
        from microtome.circuit.costs import costs_of, in_words

        costs = costs_of(mt.open(model, certify=False), prompt, nodes)
        say("\n".join(f"{what}: {in_words(cost)} above the model" for what, cost in costs.items()), as_json=as_json)
        return give({what: cost.to_dict() for what, cost in costs.items()}) if as_json else None
    found = mt.plan(
        "here" if measured else on, d=d, units=units, k=k, tokens=tokens, batch=batch, columns=columns, rows=rows,
        parameters=parameters, sites=sites, distinct=distinct, dtype=dtype, aux_k=aux_k, dead=dead,
    )  # fmt: skip
    say(found, as_json=as_json)
    return give(found.to_dict()) if as_json else None
