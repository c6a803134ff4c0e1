"""`microtome prove`: does a traced circuit, or a task's, beat its nulls?"""

from pathlib import Path
from typing import Annotated

import typer

from microtome.circuit.sizes import SIZES, usual_sizes
from microtome.cli.app import main
from microtome.cli.options import BASIS_HELP, USUAL, AsJson, Draws, ProofFile, Rule, Seed, Sizes, sizes_of
from microtome.cli.saying import give, say
from microtome.core.errors import WrongUse


@main.command(
    short_help="Test a traced circuit, or a task's, against its nulls.",
    epilog="Example: microtome prove ioi --n 40 --out proof.json",
)
def prove(
    what: Annotated[str, typer.Argument(help="A graph.json, a task (`microtome list task`), or rows.jsonl.")],
    model: Annotated[str | None, typer.Option("--model", "-m", help="A graph's own, or smollm2.")] = None,
    n: Annotated[int | None, typer.Option(min=1, help="Prompts of the task; 50, or a file's every row.")] = None,
    rule: Rule = None,
    basis: Annotated[str | None, typer.Option(help=BASIS_HELP)] = None,
    sizes: Sizes = None,
    draws: Draws = None,
    seed: Seed = 0,
    out: ProofFile = None,
    as_json: AsJson = False,
) -> None:
    """Keeps, then removes, the circuit's units and compares both with equally large sets that should not do it."""
    asked, is_graph = sizes_of(sizes), Path(what).suffix == ".json"
    if is_graph and n is not None:
        raise WrongUse(f"prove the graph {what}", found=f"--n {n}, where there is one prompt", do="drop --n")

    import microtome as mt

    claimed = mt.Graph.load(what) if is_graph else mt.task(what, n=n, seed=seed)
    numbers = asked or (usual_sizes(len(claimed.ranking)) if isinstance(claimed, mt.Graph) else SIZES)
    own = claimed.card["model"]["name"] if isinstance(claimed, mt.Graph) else USUAL
    opened = mt.open(model or own)
    from microtome.circuit.weighing import ProofConfig

    proof = mt.prove(opened, claimed, numbers, draws, seed, basis, config=ProofConfig(rule=rule))
    say(proof.summary(), as_json=as_json)
    if out is not None:
        proof.save(out)
        say(f"proof: {out}", as_json=as_json)
    if as_json:
        give(proof.to_dict())
