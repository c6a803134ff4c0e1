"""Optional packages: imported where they are used, with an error that names the extra."""

import importlib
from types import ModuleType

from microtome.core.errors import MissingPackage


def need(package: str, *, extra: str) -> ModuleType:
    """Imports an optional package.

    Raises:
        MissingPackage: it is not installed; the message gives the command that brings it.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"use the optional package {package!r}",
            found=f"it is not installed ({error})",
            do=f"run `pip install 'microtome[{extra}]'`",
        ) from error
