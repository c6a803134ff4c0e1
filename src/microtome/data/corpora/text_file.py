"""A text file: a document is a paragraph, a line, or all of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microtome.core.config import Config
from microtome.core.errors import WrongUse
from microtome.data.corpus import CORPORA, Corpus, Source
from microtome.data.files import lines, of_files

UNITS = ("paragraph", "line", "file")


@dataclass(frozen=True)
class TextOptions(Config):
    """How a text file is cut.

    Attributes:
        documents: `paragraph` (ended by a blank line), `line` or `file`.
        licence: what is known of the rights in it.

    Raises:
        WrongUse: documents are cut by none of these.
    """

    documents: str = "paragraph"
    licence: str = "not stated"

    def __post_init__(self) -> None:
        if self.documents not in UNITS:
            raise WrongUse(
                "cut a text file into documents", found=f"documents={self.documents!r}", do=f"say {', '.join(UNITS)}"
            )


def paragraphs(path: Path) -> Iterator[str]:
    """Runs of lines that are not blank."""
    held: list[str] = []
    for _, line in lines(path):
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def whole(path: Path) -> Iterator[str]:
    """The file as one document."""
    yield "\n".join(line for _, line in lines(path))


def open_text(path: Path | None, options: TextOptions) -> Corpus:
    """The documents of a text file."""
    assert path is not None
    cut = {"paragraph": paragraphs, "file": whole, "line": lambda one: (line for _, line in lines(one))}
    read = cut[options.documents]
    digest = of_files([path], reading=f"text by {options.documents}")
    return Corpus(path.name, lambda: read(path), digest, options.licence, str(path))


CORPORA.add(
    "text",
    Source(open_text, TextOptions, endings=(".txt", ".md", "")),
    summary="a path: paragraphs (or lines) of a text file",
    home=__name__,
)
