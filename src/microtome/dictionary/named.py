"""Dictionaries that have a name: kept in the user's cache (`smollm2/transcoders`), or shipped (`tiny/transcoders`)."""

import re
from functools import lru_cache
from pathlib import Path

import torch

from microtome.core.errors import WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.saving import CARD, load
from microtome.model.sources.cache import cache_root

FOLDER = "dictionaries"
SHIPPED = Path(__file__).parent / "shipped"
RUN = "run"  # inside a dictionary's folder, where its parts lie while they are trained
PART = re.compile(r"\w[\w.+-]*")  # no `..`, and nothing that a file system takes for a path


def folder_of(name: str) -> Path:
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


def folder_with(name: str) -> Path:
    """The folder of a name that `dictionary_names` gives: the user's own before the shipped one."""
    return own if ((own := folder_of(name)) / CARD).is_file() else SHIPPED / name


def named_dictionary(name: str, device: torch.device | str) -> Dictionary:
    """The dictionary of a name, read and checked once a process: every call gives the same object."""
    folder = folder_with(name)
    card = (folder / CARD).stat()
    return _loaded(folder, (card.st_mtime_ns, card.st_size), str(device))


@lru_cache(maxsize=4)
def _loaded(folder: Path, stamp: tuple[int, int], device: str) -> Dictionary:
    """`stamp` tells a dictionary from another that was put into the same folder later."""
    return load(folder, device)


def dictionary_names() -> list[str]:
    """Every name of a whole dictionary, in the cache or shipped."""
    roots = (SHIPPED, cache_root() / FOLDER)
    folders = {card.parent.relative_to(root) for root in roots for card in root.rglob(CARD)}
    return sorted(folder.as_posix() for folder in folders if RUN not in folder.parts)
