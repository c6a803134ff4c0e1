"""Settings from files of strangers: each is asked by its name and kind, and what does not fit is said of the file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml  # comes with transformers, whose hub client reads model cards with it

from microtome.core.errors import FormatError, MissingFile, nearest

T = TypeVar("T")

# No configuration is larger; what is, is another file under its name.
LARGEST = 1 << 20


class Settings:
    """What a JSON or YAML file says, with the file's name for messages.

    Attributes:
        path: of the file.
        values: what it says, by name.
    """

    def __init__(self, path: Path, values: dict[str, Any], inside: str = ""):
        self.path = path
        self.values = values
        self._inside = inside

    def __contains__(self, name: str) -> bool:
        """Whether it says anything of this; null says nothing."""
        return self.values.get(name) is not None

    def get(self, name: str, kind: type[T], default: T | None = None) -> T:
        """One setting, which must be of a kind: `int` is no `bool`, and `float` may be a whole number.

        Raises:
            FormatError: it is lacking without a default, or of another kind.
        """
        found = self.values.get(name)
        if found is None and default is not None:
            return default
        if kind is float and isinstance(found, int) and not isinstance(found, bool):
            return kind(found)  # type: ignore[call-arg]
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise self.refusal(name, f"{found!r}", f"a {kind.__name__} belongs there")
        return found

    def size(self, name: str) -> int:
        """A whole number above zero."""
        found = self.get(name, int)
        if found < 1:
            raise self.refusal(name, str(found), "a number above zero belongs there")
        return found

    def one_of(self, name: str, known: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        found = self.get(name, str, default)
        if found not in known:
            raise self.refusal(name, nearest(found, known), "a word that its format knows belongs there")
        return found

    def part(self, name: str) -> "Settings":
        """Settings within a setting; empty where it is lacking."""
        return Settings(self.path, self.get(name, dict, {}), f"{self._inside}{name}.")

    def text(self, name: str) -> str | None:
        """Words, or None where there are none."""
        return self.get(name, str) if name in self else None

    def refusal(self, name: str, found: str, do: str) -> FormatError:
        """What is wrong with one setting."""
        return FormatError(
            f"read the settings {self.path}",
            found=f"{self._inside}{name}: {found}",
            do=f"{do}; get the file again, or the one that belongs to these weights",
        )


def settings(path: Path) -> Settings:
    """Reads a `.json` or a `.yaml` file that holds names and values.

    Raises:
        MissingFile: there is no such file.
        FormatError: it cannot be read, or holds something else.
    """
    what = f"read the settings {path}"
    if not path.is_file():
        raise MissingFile(what, found="no such file", do="check the path; a download or a copy may have been cut short")
    try:
        if path.stat().st_size > LARGEST:
            raise FormatError(what, found=f"{path.stat().st_size:,} bytes", do="give the configuration of a dictionary")
        text = path.read_text(encoding="utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        raise FormatError(what, found=said, do="get the file again: it is damaged, or no configuration") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise FormatError(what, found=f"a {type(found).__name__}", do="give a file of names and values")
    return Settings(path, found)
