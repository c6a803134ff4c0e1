"""What every format promises: it knows its own files alone, what it writes comes back, and damage is refused."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from microtome.bench.checks.battery import Battery, Check, Complaints, apart
from microtome.core.errors import MicrotomeError, NotSupported
from microtome.core.registry import Entry
from microtome.dictionary.architectures.relu import ReLU
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.exchange import save_as
from microtome.dictionary.foreign_sites import GivenSites
from microtome.dictionary.format import FORMATS, Format
from microtome.dictionary.geometry import layer_by_layer, sae, transcoder
from microtome.dictionary.starting import untrained

D, UNITS = 8, 32
SITES = GivenSites(None, None)
Known = Entry[type[Format]]


def examples() -> Iterator[Dictionary]:
    """Dictionaries among which each format can say one."""
    mlps = (("mlp.in.0", "mlp.in.1"), ("mlp.out.0", "mlp.out.1"))
    for geometry in (sae("resid.1", D, UNITS), transcoder("mlp.in.1", "mlp.out.1", D, D, UNITS),
                     layer_by_layer(*mlps, D, D, UNITS)):  # fmt: skip
        for architecture in (TopK(k=4, by_norm=False), TopK(k=4), ReLU()):
            yield untrained(geometry, architecture, seed=0)


def is_one(entry: Known) -> Complaints:
    """Its class, which is made without arguments."""
    if not (isinstance(entry.value, type) and issubclass(entry.value, Format)):
        yield f"{entry.value!r} is no subclass of Format"
        return
    entry.value()


def leaves_others_alone(entry: Known) -> Complaints:
    """It takes neither an empty folder nor another format's files for its own, and reads no weights to say so."""
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "empty").mkdir()
        (here / "words.txt").write_text("no dictionary")
        own = save_as(next(examples()), here / "own", "microtome")
        for path in (here / "empty", here / "words.txt", *([own] if entry.name != "microtome" else [])):
            if entry.value().recognises(path):
                what = "a folder of microtome's own format" if path == own else f"{path.name}, which is no dictionary,"
                yield f"it takes {what} for its own"


def what_is_written_comes_back(entry: Known) -> Complaints:
    """Recognised by it and by no other, and the same function."""
    if not entry.value.writes:
        return
    with tempfile.TemporaryDirectory() as folder:
        for given, path in _written(entry, Path(folder)):
            taken = [one.name for one in FORMATS if one.value().recognises(path)]
            if taken != [entry.name]:
                yield f"what it writes is recognised by {', '.join(taken) or 'no format'}"
            again = entry.value().read(path, SITES)
            if (again.reads, again.writes) != (given.reads, given.writes):
                yield f"written at {', '.join(given.geometry.sites)}, read at {', '.join(again.geometry.sites)}"
                continue
            x = 1 + torch.randn(20, len(given.reads), D, generator=torch.Generator().manual_seed(1)).squeeze(1)
            yield from apart(f"outputs of {given}, read again", again.reconstruct(x), given.reconstruct(x), 1e-5, 1e-5)
            return
        yield "it says that it writes, and refuses SAEs and transcoders of TopK and ReLU alike"


def damage_is_refused(entry: Known) -> Complaints:
    """Cut short or emptied, each of its files makes an error that says so, and nothing else."""
    if not entry.value.writes:
        return
    with tempfile.TemporaryDirectory() as folder:
        for _, path in _written(entry, Path(folder)):
            for file in sorted(one for one in path.rglob("*") if one.is_file()):
                whole = file.read_bytes()
                for part in (whole[: len(whole) // 2], b""):
                    file.write_bytes(part)
                    yield from _refused(entry, path, f"{file.name} cut to {len(part)} of {len(whole)} bytes")
                file.write_bytes(whole)
            return


def _refused(entry: Known, path: Path, what: str) -> Complaints:
    try:
        entry.value().read(path, SITES)
    except MicrotomeError:
        return
    except Exception as error:  # noqa: BLE001 - any other error is the complaint
        yield f"{what} raises {type(error).__name__}: {error}"
    else:
        yield f"{what} is read as if it were whole"


def _written(entry: Known, folder: Path) -> Iterator[tuple[Dictionary, Path]]:
    """Those of the examples that it can say, written."""
    for i, given in enumerate(examples()):
        try:
            yield given, save_as(given, folder / str(i) / "made", entry.name)
        except NotSupported:
            continue


BATTERY: Battery[Known] = Battery(
    "format",
    (
        Check("it is a format", is_one),
        Check("it leaves other files alone", leaves_others_alone),
        Check("what it writes comes back", what_is_written_comes_back),
        Check("damaged files are refused", damage_is_refused),
    ),
    lambda entry: entry,
)
