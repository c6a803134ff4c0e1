"""The sources of Python's own library, as they lie on this machine: code and prose, no download."""

import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

from microtome.core.config import Config
from microtome.core.errors import NotFound
from microtome.data.corpus import CORPORA, Corpus, Source
from microtome.data.files import decoded, of_files

LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3", "__pycache__"}


def sources() -> list[Path]:
    """The files of the library, tests and installed packages apart, in the order of their names.

    Raises:
        NotFound: this Python came without its sources.
    """
    root = Path(sysconfig.get_path("stdlib"))
    inside = (path.relative_to(root) for path in root.rglob("*.py"))
    found = [root / path for path in sorted(inside) if not LEFT_OUT & set(path.parts)]
    if not found:
        raise NotFound(
            "open the corpus 'python-sources'",
            found=f"no .py file in {root}",
            do="run a Python that was installed with the sources of its library",
        )
    return found


def open_sources(path: Path | None, options: Config) -> Corpus:
    """One document a file, mixed."""
    paths = sources()
    source = sysconfig.get_path("stdlib")
    read = Corpus(
        "python-sources", lambda: _texts(paths), of_files(paths, reading="whole"), "PSF-2.0, and what files say", source
    )
    return read.mixed()


def _texts(paths: Sequence[Path]) -> Iterator[str]:
    return (decoded(path.read_bytes()) for path in paths)


CORPORA.add(
    "python-sources",
    Source(open_sources),
    summary="the sources of Python's own library on this machine",
    home=__name__,
)
