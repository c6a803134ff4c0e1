"""Texts of the PyPI package `sae-probes`: labelled sets of news, code, reviews, questions, essays, facts.

The package is installed without its (heavy) needs and never imported; its texts are read where they lie. They come
from many places and are not passed on.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from importlib import metadata
from pathlib import Path

from microtome.core.config import Config
from microtome.core.errors import NotFound, UnknownName, WrongUse
from microtome.core.need import need
from microtome.data.corpus import CORPORA, Corpus, Source
from microtome.data.files import of_files
from microtome.model.sources.fetch import Fetched, install
from microtome.model.sources.named import Wheel

WHEEL = Wheel("sae-probes", "0.4.2", "245700c8df310760e3d5b23d657ae5196489813f3012b55975057d8239d8be03")
LICENCE = "sets of many origins (GLUE, AG News, Yelp, …) under their own terms; the package is MIT. Not to be passed on"
TERMS = "Its sets keep the terms of their origins: use them here, do not pass them on."
FOLDER = "sae_probes/data/cleaned_data/"
ENDING = ".csv.zst"
HATEFUL = ("95_toxic_is", "106_hate_hate", "107_hate_offensive")  # collected as such: left out unless asked for


@dataclass(frozen=True)
class ProbeOptions(Config):
    """Which sets are read.

    Attributes:
        sets: names or patterns of sets, such as `158_code_C` or `*agnews*`; empty for all but the hateful ones.
    """

    sets: tuple[str, ...] = ()


def files() -> list[Path]:
    """Every set of the installed package, in the order of their names.

    Raises:
        NotFound: it is not installed.
    """
    try:
        package = metadata.distribution(WHEEL.distribution)
    except metadata.PackageNotFoundError:
        package = None
    inside = () if package is None else package.files or ()
    paths = [
        Path(str(one.locate())) for one in inside if one.as_posix().startswith(FOLDER) and one.name.endswith(ENDING)
    ]
    found = sorted(path for path in paths if path.is_file())
    if not found:
        raise NotFound(
            "open the corpus 'sae-probes'",
            found="the package sae-probes is not installed" if package is None else "the package without its texts",
            do="run `microtome get sae-probes` (45 MB)",
        )
    return found


def chosen(paths: Sequence[Path], sets: Sequence[str]) -> list[Path]:
    """The files of some sets.

    Raises:
        UnknownName: a name or pattern fits none.
    """
    names = [path.name.removesuffix(ENDING) for path in paths]
    for pattern in sets:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UnknownName("set of sae-probes", pattern, names, do="name a set, or several as in '*code*'")
    if not sets:
        return [path for path, name in zip(paths, names, strict=True) if name not in HATEFUL]
    return [path for path, name in zip(paths, names, strict=True) if any(fnmatchcase(name, one) for one in sets)]


def texts(paths: Sequence[Path]) -> Iterator[str]:
    """The prompts of sets, each text once: many sets label the same ones."""
    seen: set[int] = set()
    for path in paths:
        for row in rows(path):
            text = row["prompt"]
            if (key := hash(text)) not in seen:
                seen.add(key)
                yield text


def rows(path: Path) -> Iterator[dict[str, str]]:
    """A set as it stands: prompts, and the target of each."""
    zstandard = need("zstandard", extra="corpus")
    with path.open("rb") as packed, zstandard.ZstdDecompressor().stream_reader(packed) as raw:
        yield from csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline=""))


def pairs(name: str) -> Iterator[tuple[str, bool]]:
    """The prompts of one set, and whether each is of the positive class: the last of two targets in sorted order.

    Args:
        name: of a set, `159_code_Python`; of one with more targets, the positive one too: `97_news_class=Politics`.

    Raises:
        NotFound: the package is not installed.
        UnknownName: no set of this name, or no such target.
        WrongUse: a set without two targets, and none was named.
    """
    set_name, _, target = name.partition("=")
    found = [path for path in files() if path.name.removesuffix(ENDING) == set_name]
    if not found:
        names = [path.name.removesuffix(ENDING) for path in files()]
        raise UnknownName("set of sae-probes", set_name, names, do="name one set, such as 159_code_Python")
    targets = sorted({row["target"] for row in rows(found[0])})
    if target and target not in targets:
        raise UnknownName(f"target of {set_name}", target, targets, do="name one of the set's targets")
    if not target and len(targets) != 2:
        raise WrongUse(
            f"read the labels of {set_name!r}", found=f"{len(targets)} targets: {', '.join(targets[:5])}, …",
            do=f"name the one that counts as positive, as in {set_name}={targets[0]}",
        )  # fmt: skip
    positive = target or targets[-1]
    return ((row["prompt"], row["target"] == positive) for row in rows(found[0]))


def open_probes(path: Path | None, options: ProbeOptions) -> Corpus:
    """The texts of the chosen sets, mixed: set by set, the first tokens would all be of one kind."""
    need("zstandard", extra="corpus")  # said now, and not when the first text is read
    paths = chosen(files(), options.sets)
    digest = of_files(paths, reading="prompts once")
    source = f"{len(paths)} sets of sae-probes {metadata.version(WHEEL.distribution)}"
    return Corpus("sae-probes", partial(texts, paths), digest, LICENCE, source).mixed()


def get() -> Fetched:
    """Installs the package, pinned and checked, without what it needs to run."""
    packages: tuple[str, ...] = ()
    try:
        files()
    except NotFound:
        install(WHEEL.distribution, [WHEEL], kind="corpus")
        packages = (f"{WHEEL.distribution} {WHEEL.version}",)
    return Fetched(WHEEL.distribution, tuple(files()), packages, LICENCE, TERMS)


CORPORA.add(
    "sae-probes",
    Source(open_probes, ProbeOptions, get=get),
    summary="107 MB of labelled texts of many kinds, from the PyPI package sae-probes (`microtome get sae-probes`)",
    home=__name__,
)
