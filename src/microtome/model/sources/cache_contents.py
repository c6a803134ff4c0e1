"""What the cache holds, how large it is, and clearing it of what is made again when it is needed."""

import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from microtome.core.counting import counted
from microtome.core.errors import WrongUse
from microtome.model.sources.cache import cache_root

MADE_AGAIN = {
    "models": "networks converted from .gguf files",
    "opened": "fingerprints and certificates of models that were opened",
    "corpora": "texts taken out of packages",
    "baselines": "units of bases averaged over the neutral prompts",
}
"""Parts of the cache that cost nothing but time when they are gone."""
WORK = {"dictionaries": "dictionaries kept by name, which somebody trained"}


@dataclass(frozen=True)
class Part:
    """One folder of the cache.

    Attributes:
        name: of the folder.
        what: it holds.
        path: where it is.
        files: how many.
        size: bytes.
        made_again: whether it is, by itself, when it is needed; what is not is never cleared.
    """

    name: str
    what: str
    path: str
    files: int
    size: int
    made_again: bool

    def __str__(self) -> str:
        kept = "" if self.made_again else "; never cleared"
        return f"{self.name:14} {_in_words(self.size):>10}  {counted(self.files, 'file'):>12}  {self.what}{kept}"


@dataclass(frozen=True)
class Contents:
    """All of the cache.

    Attributes:
        root: its folder; `MICROTOME_CACHE` says another.
        parts: the folders in it.
    """

    root: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(part.size for part in self.parts)

    def __str__(self) -> str:
        return "\n".join([f"{self.root}: {_in_words(self.size)}", *(f"  {part}" for part in self.parts)])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"root": self.root, "size": self.size, "parts": [asdict(part) for part in self.parts]}


def contents() -> Contents:
    """What the cache holds now."""
    root = cache_root()
    folders = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return Contents(str(root), tuple(_part(folder) for folder in folders))


def clear() -> Contents:
    """Removes what is made again when it is needed, and gives what was removed.

    A folder first leaves its name, so that no other process meets it half removed.

    Raises:
        WrongUse: the cache cannot be written to.
    """
    before = contents()
    removed = tuple(part for part in before.parts if part.made_again)
    try:
        for part in removed:
            aside = Path(tempfile.mkdtemp(prefix=f".{part.name}.", suffix=".part", dir=before.root))
            Path(part.path).rename(aside / part.name)
            shutil.rmtree(aside)
    except OSError as error:
        raise WrongUse(
            f"clear the cache {before.root}", found=str(error), do="close what uses it, or remove the folder by hand"
        ) from error
    return Contents(before.root, removed)


def _part(folder: Path) -> Part:
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    abandoned = folder.name.endswith(".part")
    what = (MADE_AGAIN | WORK).get(folder.name, "left by a process that was killed" if abandoned else "not ours")
    return Part(folder.name, what, str(folder), len(sizes), sum(sizes), folder.name in MADE_AGAIN or abandoned)


def _in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
