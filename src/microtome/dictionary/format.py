"""What a format is: which files it is known by, how a dictionary is read from them, and perhaps written."""

from abc import ABC, abstractmethod
from pathlib import Path

from microtome.core.errors import NotSupported
from microtome.core.registry import Registry
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.foreign_sites import GivenSites


class Format(ABC):
    """One tool's way to keep dictionaries in files. Entries of `FORMATS` are such classes."""

    writes = False
    """Whether it can be written too."""

    @abstractmethod
    def recognises(self, path: Path) -> bool:
        """Whether a file or folder is of this format, by names of files and of tensors; no weights are read."""

    @abstractmethod
    def read(self, path: Path, sites: GivenSites) -> Dictionary:
        """The dictionary.

        Raises:
            FormatError: the files are damaged, lacking, or not what they say.
            NotSupported: they hold what no `Dictionary` does exactly.
            WrongUse: no site is named, by the files or by the user.
        """

    def write(self, dictionary: Dictionary, path: Path) -> Path:
        """Writes a dictionary into a new folder, whose name is the dictionary's.

        Raises:
            NotSupported: the format cannot say what the dictionary does.
        """
        raise NotSupported(
            f"write {dictionary} as {type(self).__name__}", found="a format that is only read here",
            do="choose one that `microtome list format` says is written too",
        )  # fmt: skip


FORMATS: Registry[type[Format]] = Registry("format", folder="microtome.dictionary.formats")
