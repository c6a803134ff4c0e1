"""`microtome patch`: which heads and MLPs, or edges between them, carry a task."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson, ModelName, More, Seed, to_write
from microtome.cli.saying import give, say
from microtome.cli.settings import settings_of

EXAMPLE = "Example: microtome patch ioi --n 10 --method eap --out scores.json"


@main.command(short_help="Score heads, MLPs and edges on a task by patching.", epilog=EXAMPLE)
def patch(
    what: Annotated[str, typer.Argument(metavar="TASK", help="A task (`microtome list task`), or rows.jsonl.")],
    model: ModelName = "smollm2",
    n: Annotated[int | None, typer.Option(min=1, help="Prompts of the task; 50, or a file's every row.")] = None,
    method: Annotated[str, typer.Option(help="See `microtome list method`.")] = "eap-ig",
    metric: Annotated[str, typer.Option(help="See `microtome list patching-metric`.")] = "logit difference",
    batch: Annotated[int, typer.Option(min=1, help="Prompts that are run together.")] = 8,
    top: Annotated[int, typer.Option(min=1, help="How many of the largest scores to show.")] = 10,
    seed: Seed = 0,
    out: Annotated[Path | None, typer.Option(callback=to_write, help="Write all scores as JSON.")] = None,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Scores parts of a model by what a task's answer loses where they have their counterfactual values."""
    settings = settings_of(more or [])

    import microtome as mt

    task = mt.task(what, n=n, seed=seed)
    opened = mt.open(model)
    scores = mt.patch(opened, task, method, metric=metric, batch=batch, **settings)
    named = [((name,) if isinstance(name, str) else name, score) for name, score in scores.top(top)]
    largest = [(" → ".join(parts), score) for parts, score in named]
    width = max((len(name) for name, _ in largest), default=0)
    say("\n".join([repr(scores), *(f"  {name:{width}}  {score:+.4g}" for name, score in largest)]), as_json=as_json)
    if out is not None:
        say(f"scores: {scores.save(out)}", as_json=as_json)
    if as_json:
        shown = [[*parts, score] for parts, score in named]
        give({"method": method, "clean": scores.clean, "other": scores.other, "top": shown, "card": scores.card})
