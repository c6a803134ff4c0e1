"""`microtome train`: a dictionary from a store of activations."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.options import AsJson, More, Seed
from microtome.cli.saying import give, say
from microtome.cli.settings import settings_of
from microtome.cli.training import DEFAULT, group, to_learn_from

EXAMPLE = "Example: microtome train store --site resid.15 --architecture topk --units 8192 --k 32 --out sae"
OPTIONS = ("site", "reads", "writes", "architecture", "units", "k", "tokens", "columns", "seed", "out", "resume")
Sites = Annotated[list[str] | None, typer.Option(help="Sites that a transcoder reads or writes; repeat for a CLT.")]


@group.command(DEFAULT, short_help="Train a dictionary on a store of activations.", epilog=EXAMPLE)
def train(
    store: Annotated[Path, typer.Argument(help="A folder that `microtome harvest` made.")],
    site: Annotated[list[str] | None, typer.Option(help="Of an SAE; repeat for a crosscoder.")] = None,
    reads: Sites = None,
    writes: Sites = None,
    architecture: Annotated[str, typer.Option(help="See `microtome list architecture`.")] = "topk",
    units: Annotated[int, typer.Option(min=1, help="How many; of a CLT, of each layer.")] = 8192,
    k: Annotated[int | None, typer.Option(min=1, help="Active units a token; see its architecture.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="To train on.")] = 2_000_000,
    columns: Annotated[int | None, typer.Option(min=1, help="Processes that share the units; all by default.")] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Folder for the dictionary, its log and checkpoints.")] = Path("dictionary"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="On all documents: none is left to measure on.")] = False,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Trains a dictionary on nine documents of ten; stopped anywhere, it goes on with --resume as if it had not been.

    The tenth is held out: it is what `microtome measure` measures on.
    """
    from microtome.activations.store import open_store
    from microtome.train.doctor.doctor import heard_by
    from microtome.train.training import train as run

    settings = settings_of(more or [], OPTIONS)
    settings |= {name: value for name, value in {"k": k, "columns": columns}.items() if value is not None}
    places = {"site": site, "reads": reads, "writes": writes}
    settings |= {name: sites[0] if len(sites) == 1 else sites for name, sites in places.items() if sites}
    rows = open_store(store) if whole else to_learn_from(open_store(store), as_json)
    with heard_by(lambda words: say(words, as_json=True)):
        made = run(
            rows, architecture=architecture, units=units, seed=seed, out=out, resume=resume,
            tokens=tokens, **settings,
        )  # fmt: skip
    assert made.card is not None
    final = made.card.config["final"]
    say(f"{made}\n  variance explained {final['variance_explained']:.3f}, L0 {final['l0']:.1f}", as_json=as_json)
    say(f"dictionary: {out}", as_json=as_json)
    if as_json:
        give({"path": str(out), "final": final, "card": made.card.to_dict()})
