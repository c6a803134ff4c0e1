"""What is made can be remade: run cards, and files that are written whole or not at all."""

import errno
import json
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from microtome.core.errors import FormatError, MissingFile, WrongUse

LIBRARIES = ("microtome", "torch", "transformers", "numpy", "scipy")


@dataclass(frozen=True)
class RunCard:
    """How an artefact was made.

    Attributes:
        kind: what the artefact is (`graph`, `proof`, `certificate`, …).
        format: version of its layout; a reader refuses a newer one.
        seed: of every random choice, or None where there was none.
        config: every setting that shaped it.
        model: name, fingerprint and dtype of the model, empty where none was used.
        data: fingerprints or texts of what went in.
        command: the command line of the process.
        libraries: versions of what computed it.
    """

    kind: str
    format: int
    seed: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    model: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    command: str = field(default_factory=lambda: command_line(sys.argv))
    libraries: dict[str, str] = field(default_factory=lambda: library_versions())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def command_line(arguments: Sequence[str]) -> str:
    """Words of a command as they can be typed again, an installed one by its name; empty at a prompt of Python."""
    program, *rest = arguments
    installed = Path(program).parent == Path(sys.executable).parent
    return shlex.join([Path(program).name if installed else program, *rest]) if program else ""


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that shape results."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # running from a source tree that was never installed
            found[name] = "not installed"
    return found


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `path`; renames it on success, removes it on any failure.

    A reader sees the old file or the new one, never half of one, also after Ctrl-C.

    Raises:
        WrongUse: no file can be written there: see `writable`; or the disk is full.
    """
    path = writable(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def folder_written_whole(path: str | Path) -> Iterator[Path]:
    """Gives an empty folder of the same name, in a temporary place beside `path`; puts it there on success.

    A reader sees the old folder or the new one, never files of both.

    Raises:
        WrongUse: a file has that name, the folder holds files that would not be written again, or nothing can be
            written there.
    """
    path = Path(path)
    place = path.resolve()
    if place.exists() and not place.is_dir():
        raise WrongUse(f"write into the folder {path}", found="a file of that name", do="name a folder")
    with writing(path):
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
        try:
            made = beside / place.name
            made.mkdir()
            yield made
            _check_replaceable(path, made)
            if place.exists():
                place.rename(beside / "before")
            made.rename(place)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _check_replaceable(path: Path, made: Path) -> None:
    """Refuses to replace a folder that holds more than what is written again."""
    others = (
        sorted({one.name for one in path.iterdir()} - {one.name for one in made.iterdir()}) if path.exists() else []
    )
    if others:
        shown = ", ".join(others[:6])
        more = f" and {len(others) - 6} more" if len(others) > 6 else ""
        raise WrongUse(
            f"write into the folder {path}", found=f"other files there: {shown}{more}",
            do="name a new folder, or remove that one first",
        )  # fmt: skip


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Inside, a system that does not take what is written there, such as a full disk, is one error that names the file.

    Raises:
        WrongUse: it does not.
    """
    try:
        yield
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error), error.errno) from error
    except SafetensorError as error:  # no OSError, and the system's number is in its words alone
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise _not_writable(path, os.strerror(int(number[1])), int(number[1])) from error


def writable(path: str | Path) -> Path:
    """The path, where a file could be written; leaves nothing behind. Asked before long work, not after it.

    It is tried with a file that has gone at once: rights alone do not tell of `/proc`, or of a full disk.

    Raises:
        WrongUse: a folder has that name, a file stands where a folder should, or no file can be made there.
    """
    path = Path(path)
    try:
        standing = next(one for one in path.absolute().parents if one.exists())
        if path.is_dir():
            raise _not_writable(path, "a folder of that name")
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error)) from error
    if not standing.is_dir():
        raise _not_writable(path, f"{standing} is a file, no folder")
    try:
        tempfile.TemporaryFile(dir=standing).close()
    except OSError as error:
        raise _not_writable(path, f"no file can be made in {standing}: {error.strerror or error}") from error
    return path


def _not_writable(path: Path, found: str, number: int | None = None) -> WrongUse:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return WrongUse(f"write {path}", found=found, do="free some space, or name a file on another disk")
    return WrongUse(f"write {path}", found=found, do="name a file in a folder that can be written to")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Any) -> Path:
    """Writes strict JSON (no NaN) atomically, as UTF-8, and returns the path."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def read_artefact(path: str | Path, *, kind: str, format: int, keys: Iterable[str]) -> dict[str, Any]:
    """Reads what `write_json` wrote of an artefact that carries its run card.

    Raises:
        MissingFile: there is no such file.
        FormatError: it is no whole artefact of that kind, or of a newer format.
    """
    found = read_json(path, kind=kind)
    what = f"read the {kind} {path}"
    do = f"give a file that this version of microtome wrote, or make the {kind} again"
    if lacking := sorted({*keys, "card"} - found.keys()):
        raise FormatError(what, found=f"no {', '.join(lacking)}", do=do)
    try:
        newer = found["card"]["format"] > format
    except (TypeError, KeyError) as error:
        raise FormatError(what, found=f"no run card ({error})", do=do) from error
    if newer:
        raise FormatError(what, found=f"format {found['card']['format']}, and {format} is the newest known", do=do)
    return found


def read_json(path: str | Path, *, kind: str) -> dict[str, Any]:
    """Reads one JSON object.

    Raises:
        MissingFile: there is no such file.
        FormatError: it is truncated, or holds something else.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingFile(f"read the {kind} {path}", found="no such file", do="check the path") from None
    except (OSError, ValueError, RecursionError) as error:  # no JSON, no text, digits or brackets without end
        raise FormatError(
            f"read the {kind} {path}", found=f"no readable JSON ({error})", do=f"make the {kind} again"
        ) from error
    if not isinstance(value, dict):
        raise FormatError(
            f"read the {kind} {path}",
            found=f"a JSON {type(value).__name__}",
            do="give a file that microtome wrote",
        )
    return value
