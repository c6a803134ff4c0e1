"""Manuals from Debian packages, got by `apt-get download` into this user's cache; nothing is installed."""

import gzip
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from microtome.core.config import Config
from microtome.core.errors import NotFound, WrongUse
from microtome.core.progress import track
from microtome.data.corpora.jsonl_file import texts
from microtome.data.corpus import CORPORA, Corpus, Source, cleaned
from microtome.data.files import decoded, of_files
from microtome.data.prose import prose
from microtome.model.sources.cache import built_once, cache_root

MANUALS = ("python3.11-doc", "postgresql-doc-15")
TEXTS = "texts.jsonl"
EXTRACTION = 1  # raised when pages are read in another way
PLAIN = (".txt", ".md", ".rst")
NAME = re.compile(r"[a-z0-9][a-z0-9.+-]+")
LEFT_OUT = ("_sources/", "_static/", "genindex", "searchindex", "search.html", "print.html", "toc.html")


@dataclass(frozen=True)
class DebianOptions(Config):
    """Which packages are read.

    Attributes:
        packages: their names, as `apt-get download` takes them.

    Raises:
        WrongUse: none, or what cannot be a package's name.
    """

    packages: tuple[str, ...] = MANUALS

    def __post_init__(self) -> None:
        wrong = [one for one in self.packages if not NAME.fullmatch(one)]
        if wrong or not self.packages:
            found = f"the package {wrong[0]!r}" if wrong else "no package"
            raise WrongUse("open the corpus 'debian-docs'", found=found, do=f"name packages such as {MANUALS[0]}")


def manual(package: str) -> Path:
    """The folder in the cache that holds a package's texts and its copyright, made where it is not there.

    Raises:
        NotFound: this machine has no apt, no network, or its release no such package.
    """
    return built_once(cache_root() / "corpora" / f"debian-{EXTRACTION}" / package, partial(_make, package))


def _make(package: str, folder: Path) -> dict[str, Any]:
    """Downloads and unpacks a package elsewhere, and keeps of it only what is read."""
    with tempfile.TemporaryDirectory(prefix="microtome-deb-") as temporary:
        _run(package, ["apt-get", "download", "-o", "APT::Sandbox::User=root", package], Path(temporary))
        archive = next(Path(temporary).glob("*.deb"))
        files = Path(temporary, "files")
        _run(package, ["dpkg-deb", "-x", str(archive), str(files)], Path(temporary))
        with (folder / TEXTS).open("w", encoding="utf-8") as out:
            out.writelines(json.dumps({"text": cleaned(text)}) + "\n" for text in pages(package, files))
        rights = files / "usr" / "share" / "doc" / package / "copyright"
        if rights.is_file():
            shutil.copyfile(rights, folder / "copyright")
        return {"package": package, "archive": archive.name}


def _run(package: str, command: list[str], folder: Path) -> None:
    what = f"get the Debian package {package!r}"
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        raise NotFound(
            what, found=f"no {command[0]} on this machine", do="use another corpus: debian-docs needs Debian or Ubuntu"
        ) from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["it said nothing"]
        raise NotFound(
            what,
            found=f"{command[0]} failed ({said[-1]})",
            do="run `apt-get update`, connect, or name packages that this release has with packages=(…)",
        )


def pages(package: str, files: Path) -> Iterator[str]:
    """The prose of every manual page of an unpacked package, in the order of their names."""
    found = sorted(one for one in files.rglob("*") if one.is_file() and not one.is_symlink())
    for path in track(found, f"reading {package}"):
        inside = path.relative_to(files).as_posix()
        name = path.name.removesuffix(".gz")
        if name.endswith((".html", *PLAIN)) and not any(part in inside for part in LEFT_OUT):
            raw = path.read_bytes()
            text = decoded(gzip.decompress(raw) if path.suffix == ".gz" else raw)
            yield prose(text) if name.endswith(".html") else text


def open_debian(path: Path | None, options: DebianOptions) -> Corpus:
    """One document a page, mixed."""
    folders = [manual(package) for package in options.packages]
    files = [folder / TEXTS for folder in folders]
    licence = f"each manual's own: see {', '.join(str(folder / 'copyright') for folder in folders)}"
    source = f"Debian packages {', '.join(options.packages)}"
    read = partial(_texts, files)
    return Corpus("debian-docs", read, of_files(files, reading="pages"), licence, source).mixed()


def _texts(files: Sequence[Path]) -> Iterator[str]:
    return (text for file in files for text in texts(file, "text"))


CORPORA.add(
    "debian-docs",
    Source(open_debian, DebianOptions),
    summary="the manuals of Python and PostgreSQL from Debian packages, downloaded at first use",
    home=__name__,
)
