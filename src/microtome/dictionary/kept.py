"""Dictionaries that are kept in the user's cache, and found again by a name such as `smollm2/transcoders`."""

import re
from pathlib import Path

from microtome.core.errors import WrongUse
from microtome.dictionary.saving import CARD
from microtome.model.sources.cache import cache_root

FOLDER = "dictionaries"
RUN = "run"  # inside a dictionary's folder, where its parts lie while they are trained
PART = re.compile(r"\w[\w.+-]*")  # no `..`, and nothing that a file system takes for a path


def place(name: str) -> Path:
    """The folder of a name in the cache, whether there is anything or not.

    Raises:
        WrongUse: it is no name of folders; `..` is none.
    """
    parts = name.split("/")
    if not all(PART.fullmatch(part) for part in parts):
        raise WrongUse(
            f"keep the dictionary {name!r}", found="a name that is no folder's on every system",
            do="give letters, digits and . _ + - parted by '/', as in smollm2/transcoders",
        )  # fmt: skip
    return cache_root() / FOLDER / Path(*parts)


def kept_names() -> list[str]:
    """Every name under which a whole dictionary is kept."""
    root = cache_root() / FOLDER
    folders = [card.parent.relative_to(root) for card in root.rglob(CARD)]
    return sorted(folder.as_posix() for folder in folders if RUN not in folder.parts)
