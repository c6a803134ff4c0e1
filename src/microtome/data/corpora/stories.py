"""The stories that ship with microtome: what its model `tiny` was never shown, for examples and tests."""

from pathlib import Path

from microtome.core.config import Config
from microtome.data.corpora.text_file import TextOptions, open_text
from microtome.data.corpus import CORPORA, Corpus, Source

STORIES = Path(__file__).with_suffix(".txt")
LICENCE = "Apache-2.0, as SmolLM2, which wrote them for recipes/make_tiny.py"


def open_stories(path: Path | None, options: Config) -> Corpus:
    """A story a line."""
    held = open_text(STORIES, TextOptions("line", LICENCE))
    return Corpus("stories", held.texts, held.fingerprint, LICENCE, "shipped with microtome")


CORPORA.add(
    "stories",
    Source(open_stories),
    summary="simple stories that the model tiny was not fitted on; they ship with microtome",
    home=__name__,
)
