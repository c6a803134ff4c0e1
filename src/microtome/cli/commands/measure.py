"""`microtome measure`: what a dictionary reconstructs, beside what it has to beat."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson, Seed
from microtome.cli.saying import give, say

EXAMPLE = "Example: microtome measure sae --store store --model smollm2 --texts texts.jsonl"


@main.command(short_help="Measure a dictionary, with nulls.", epilog=EXAMPLE)
def measure(
    dictionary: Annotated[Path, typer.Argument(help="A dictionary's folder or file, ours or another tool's.")],
    store: Annotated[Path, typer.Option(help="Activations of its sites (`microtome harvest`).")] = Path("store"),
    whole: Annotated[bool, typer.Option("--whole", help="All documents, not the tenth held out.")] = False,
    model: Annotated[str | None, typer.Option(help="For texts and concepts: the model that was harvested.")] = None,
    texts: Annotated[
        str | None, typer.Option(help="For the cross-entropy: texts to read; of the store's own, the tenth held out.")
    ] = None,
    null: Annotated[list[Path] | None, typer.Option(help="A dictionary to beat; several may be given.")] = None,
    concept: Annotated[
        list[str] | None,
        typer.Option(help="For sparse probing: a labelled set of sae-probes, such as 159_code_Python; or several."),
    ] = None,
    reseeded: Annotated[
        list[Path] | None, typer.Option(help="The same dictionary of another seed, to look for its units; or several.")
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Figures of a dictionary with intervals over documents, each beside its hardest null."""
    from microtome.activations.store import open_store
    from microtome.bench.config import MeasureConfig
    from microtome.bench.measuring import measure as run
    from microtome.data.corpus import corpus_of
    from microtome.dictionary.exchange import load_dictionary
    from microtome.model.opening import open as open_model

    kept, read = open_store(store), None if texts is None else corpus_of(texts)
    if read is not None and not whole and read.fingerprint == kept.card["texts"]["fingerprint"]:
        read = read.split()[1]  # the very documents of the tenth held out
    found = run(
        load_dictionary(dictionary),
        kept if whole else kept.split()[1],
        model=open_model(model) if model else None,
        texts=read,
        nulls={path.name: load_dictionary(path) for path in null or ()},
        config=MeasureConfig(seed=seed),
        concepts={name: name for name in concept} if concept else None,
        reseeded={str(path): load_dictionary(path) for path in reseeded} if reseeded else None,
    )
    say("\n".join(map(str, found.values())), as_json=as_json)
    if as_json:
        give({name: figure.to_dict() for name, figure in found.items()})
