"""`microtome harvest`: a model's activations over many texts, on the disk."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson, ModelName, Seed
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome harvest sae-probes --site resid.15 --tokens 2000000 --out store"


@main.command(short_help="Keep a model's activations over many texts.", epilog=EXAMPLE)
def harvest(
    texts: Annotated[str, typer.Argument(help="A file, a dataset's folder, or a name (`microtome list corpus`).")],
    site: Annotated[list[str], typer.Option("--site", help="Sites or patterns; give it several times for several.")],
    model: ModelName = "smollm2",
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens to keep; all of the texts by default.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the store; one that was begun is gone on with.")] = Path("store"),
    dtype: Annotated[str, typer.Option(help="bfloat16, float32, or int8 with a scale a row.")] = "bfloat16",
    context: Annotated[int, typer.Option(help="Tokens that the model reads at once.")] = 128,
    pack: Annotated[bool, typer.Option("--pack", help="Fill contexts across the borders of documents.")] = False,
    norm_limit: Annotated[float | None, typer.Option(help="Leave out norms over this multiple of the median.")] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Runs a model over texts and keeps what it holds at some sites; goes on where it was interrupted."""
    from microtome.activations.config import HarvestConfig
    from microtome.activations.harvest import harvest as run
    from microtome.data.corpus import corpus
    from microtome.model.opening import open as open_model

    config = HarvestConfig(dtype=dtype, context=context, pack=pack, norm_limit=norm_limit, seed=seed)
    read = corpus(texts)
    store = run(open_model(model), read, site, tokens=tokens, out=out, config=config)
    say(store.summary(), as_json=as_json)
    if tokens is not None and store.n_tokens < tokens:
        say(f"  the texts ended before {tokens:,} tokens", as_json=as_json)
    if as_json:
        give({"path": str(store.path), "sites": dict(store.widths), **store.card})
