"""Text files of any origin: read as UTF-8 whatever their bytes are, and known by their bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from microtome.core import fingerprint
from microtome.core.errors import FormatError


def lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""The lines of a file with their numbers from 1, ended by \n alone; bytes that are no UTF-8 become U+FFFD.

    Raises:
        FormatError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield number, decoded(raw.removesuffix(b"\n").removesuffix(b"\r"), first=number == 1)
    except OSError as error:
        raise FormatError(
            f"read the texts of {path}", found=error.strerror or str(error), do="give a file that can be read"
        ) from error


def decoded(raw: bytes, *, first: bool = True) -> str:
    """Bytes as text: UTF-8, a byte order mark at the start left out, what is none of it U+FFFD."""
    return raw.decode("utf-8-sig" if first else "utf-8", "replace")


def of_files(paths: Sequence[Path], *, reading: str) -> str:
    """Digest of files in this order and of how they are read.

    Raises:
        FormatError: one cannot be read.
    """
    try:
        return fingerprint.of_value([reading, *(fingerprint.of_file(path) for path in paths)])
    except OSError as error:
        raise FormatError(
            f"read the texts of {error.filename}", found=error.strerror or str(error), do="give files that can be read"
        ) from error
