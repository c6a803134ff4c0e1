"""`microtome train transcoders`: a transcoder for the MLP of every layer, from one pass over texts."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.options import AsJson, ModelName, More, Seed
from microtome.cli.saying import give, say
from microtome.cli.settings import settings_of
from microtome.cli.training import group

EXAMPLE = "Example: microtome train transcoders --model smollm2 --tokens 2000000"


@group.command(short_help="Train a transcoder for the MLP of every layer.", epilog=EXAMPLE)
def transcoders(
    model: ModelName = "smollm2",
    texts: Annotated[str, typer.Option(help="A file, a folder, or a name (`microtome list corpus`).")] = "sae-probes",
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to learn from.")] = 2_000_000,
    layers: Annotated[str, typer.Option(help="Which: all by default; one, or several as in '{3,7,11}'.")] = "*",
    units: Annotated[int, typer.Option(min=1, help="Units of each layer.")] = 4096,
    k: Annotated[int, typer.Option(min=1, help="Units of a layer that a token may use.")] = 32,
    batch: Annotated[int, typer.Option(min=1, help="Tokens a step.")] = 4096,
    out: Annotated[Path | None, typer.Option(help="Folder; by default MODEL/transcoders in your cache.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of the model; by default bfloat16 where that is quick.")] = None,
    seed: Seed = 0,
    more: More = None,
    as_json: AsJson = False,
) -> None:
    """Trains transcoders for all layers in one pass; stopped at any moment, the same command goes on."""
    from microtome.dictionary.choosing import bf16_is_quick
    from microtome.model.opening import open as open_model
    from microtome.model.sources.placement import device_of
    from microtome.train.doctor.doctor import heard_by
    from microtome.train.transcoders import home, summary, train_transcoders

    chosen = dtype or ("bfloat16" if bf16_is_quick(device_of(None)) else None)
    opened = open_model(model, dtype=chosen, attention="sdpa", certify=False)
    folder = out or home(opened)
    settings = {"tokens": tokens, "batch": batch, "k": k, **settings_of(more or [])}
    with heard_by(lambda words: say(words, as_json=True)):
        made = train_transcoders(opened, texts, layers, units=units, seed=seed, out=folder, **settings)
    say(f"{made}\n{summary(made)}\nkept in {folder}", as_json=as_json)
    if as_json:
        assert made.card is not None
        give(made.card.to_dict())
