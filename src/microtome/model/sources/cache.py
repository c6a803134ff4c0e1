"""Folders that are built once and trusted only when whole, and small values kept beside opened models."""

import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from microtome.core.artefact import read_json, write_json
from microtome.core.errors import FormatError, WrongUse

FORMAT = 1
MARKER = "microtome.json"
ABANDONED_AFTER = 3600.0  # seconds; a living build writes far more often
NOTICES = logging.getLogger(__name__)


def cache_root() -> Path:
    """Where everything derived is kept: `$MICROTOME_CACHE`, or this user's cache folder."""
    chosen = os.environ.get("MICROTOME_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("microtome"))


def built_once(folder: Path, build: Callable[[Path], dict[str, Any]]) -> Path:
    """Gives `folder`, calling `build` to fill it where it is absent or not whole.

    The folder appears under its name only when complete: it is filled under a temporary name, ends with
    a marker that lists the size of every file, and is renamed. Of two processes that build at once the
    second finds the name taken and uses what the first made.

    Args:
        folder: where it shall lie.
        build: fills the (empty) folder that it is given, and returns what the marker shall say of it.

    Raises:
        WrongUse: the cache cannot be written to.
    """
    if is_whole(folder):
        return folder
    if folder.exists():
        NOTICES.warning("microtome: the cached %s is incomplete; building it again", folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        filling = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise WrongUse(
            f"write to the cache {folder.parent}",
            found=str(error),
            do="set MICROTOME_CACHE to a folder that can be written to",
        ) from error
    try:
        says = build(filling)
        _seal(filling, says)
        _publish(filling, folder)
    except OSError as error:
        raise WrongUse(
            f"fill the cache {folder}",
            found=str(error),
            do="make room, or set MICROTOME_CACHE to a folder on another disk",
        ) from error
    finally:
        shutil.rmtree(filling, ignore_errors=True)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether the marker is there and every file has the size that it records."""
    try:
        marker = read_json(folder / MARKER, kind="cache marker")
        return marker["format"] == FORMAT and all(
            (folder / name).stat().st_size == size for name, size in marker["files"].items()
        )
    except (FormatError, OSError, KeyError, AttributeError):
        return False


def remember(key: str, name: str, value: Any) -> None:
    """Keeps a JSON value of an opened model, under its `opening_key` and a name such as `certificate`.

    A cache that cannot be written to is said once in the log and costs only the time of the next opening.
    """
    try:
        write_json(_place(key, name), {"format": FORMAT, "value": value})
    except WrongUse as error:
        NOTICES.warning("microtome: cannot remember the %s of this model (%s)", name, error.found)


def recall(key: str, name: str) -> Any | None:
    """What `remember` kept, or None where there is nothing, or nothing readable."""
    try:
        kept = read_json(_place(key, name), kind="cached value")
    except FormatError:
        return None
    return kept.get("value") if kept.get("format") == FORMAT else None


def _place(key: str, name: str) -> Path:
    # One file a value: two processes that keep different values never overwrite each other's.
    return cache_root() / "opened" / key / f"{name}.json"


def _seal(folder: Path, says: dict[str, Any]) -> None:
    """Forces every file to the disk, then writes the marker: where it stands, all else is there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        path.chmod(0o644)  # safetensors makes its files private
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    marker = folder / MARKER
    with marker.open("w", encoding="utf-8") as file:
        json.dump({"format": FORMAT, **says, "files": sizes}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _publish(filled: Path, folder: Path) -> None:
    filled.chmod(0o755)  # mkdtemp makes it private
    while True:
        try:
            filled.rename(folder)  # fails where the name is held by a folder that is not empty
            return
        except OSError:
            if is_whole(folder):
                return
            if not folder.exists():
                raise
        broken = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        shutil.rmtree(broken)
        try:
            folder.rename(broken)  # out of the way in one step, so that nobody sees it half removed
        except FileNotFoundError:
            continue  # another process was first
        shutil.rmtree(broken, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Removes what processes that were killed left behind."""
    for path in parent.glob(".*.part"):
        try:
            newest = max(one.stat().st_mtime for one in (path, *path.rglob("*")))
        except OSError:
            continue  # being removed by its owner at this moment
        if time.time() - newest > ABANDONED_AFTER:
            shutil.rmtree(path, ignore_errors=True)
