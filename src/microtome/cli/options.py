"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from microtome.circuit.sizes import SIZES
from microtome.core.artefact import writable
from microtome.core.errors import WrongUse

ModelName = Annotated[str, typer.Option("--model", "-m", help="A name, a folder, a .gguf file or a hub id.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
Sizes = Annotated[
    str | None, typer.Option("--sizes", help="Numbers of units to prove at, rising; by default 100,300,1000,3000.")
]
Draws = Annotated[
    int | None, typer.Option("--draws", min=1, help="Matched random sets a size; 20, more where prompts are short.")
]
Rule = Annotated[str | None, typer.Option("--rule", help="By which units are ranked: see `microtome list rule`.")]
Seed = Annotated[int, typer.Option("--seed", help="Of everything random.")]
More = Annotated[list[str] | None, typer.Option("--set", help="Any other setting, as in lr=0.001.")]


def to_write(path: Path | None) -> Path | None:
    """Refuses what cannot be written before the work that it is to hold, and not after it."""
    return None if path is None else writable(path)


ReportFile = Annotated[Path | None, typer.Option("--out", callback=to_write, help="Write the report, one HTML file.")]
GraphFile = Annotated[Path | None, typer.Option("--graph", callback=to_write, help="Write the graph as JSON.")]
ProofFile = Annotated[Path | None, typer.Option("--out", callback=to_write, help="Write the proof as JSON.")]

USUAL = "smollm2"  # the model that is opened where none is named
BASIS_HELP = "The units: neurons, heads, or dictionaries by name or path; several as 'A + B'."


def sizes_of(text: str | None) -> tuple[int, ...] | None:
    """The numbers of `100,300,1000`; None where there is no text.

    Raises:
        WrongUse: they are no rising whole numbers above zero.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    numbers = tuple(int(part) for part in parts if part.isdecimal())
    if len(numbers) < len(parts) or numbers[0] < 1 or list(numbers) != sorted(set(numbers)):
        raise WrongUse(
            "prove at some sizes",
            found=f"--sizes {text!r}",
            do=f"give rising numbers of units, as in --sizes {','.join(map(str, SIZES))}",
        )
    return numbers
