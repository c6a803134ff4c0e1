"""`microtome predict`: what a model would say next."""

from typing import Annotated

import typer

from microtome.cli.app import main
from microtome.cli.options import AsJson, ModelName
from microtome.cli.saying import give, say


@main.command(
    short_help="Show the most probable next tokens.",
    epilog='Example: microtome predict "The capital of France is" --top 5',
)
def predict(
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    model: ModelName = "smollm2",
    top: Annotated[int, typer.Option("--top", min=1, help="How many tokens to show.")] = 10,
    as_json: AsJson = False,
) -> None:
    """The most probable next tokens, with probability and logit: what one looks at before tracing."""
    import microtome as mt

    opened = mt.open(model)
    prediction = opened.predict(prompt, top=top)
    if as_json:
        give({"prompt": prompt, "tokens": opened.tokens(prompt), "model": opened.card} | prediction.to_dict())
    else:
        say(prediction)
