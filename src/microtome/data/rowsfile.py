"""Rows in a file: one JSON object a line, read with the line and the key of every fault."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from microtome.core.artefact import written_whole
from microtome.core.errors import FormatError, NotFound, WrongUse, nearest
from microtome.data.row import Answer, Row

KEYS = ("clean", "counterfactual", "target", "against")
SHAPE = '{"clean": "…", "counterfactual": "…", "target": "…", "against": "…"}'


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a `.jsonl` file, in its order; empty lines are passed over.

    Raises:
        NotFound: there is no such file.
        FormatError: it cannot be read, holds no row or holds one twice, or a line is no row;
            the message names the file, the line and the key.
    """
    rows: dict[Row, int] = {}
    for number, text in _lines(path):
        row = _row(text, place=f"{path}:{number}")
        if row in rows:
            do = "remove it; a row that counts twice makes intervals too narrow"
            raise _fault(f"{path}:{number}", f"the same row as in line {rows[row]}", do)
        rows[row] = number
    if not rows:
        raise FormatError(f"read rows from {path}", found="no row", do=f"write one a line: {SHAPE}")
    return tuple(rows)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes the file whole or not at all, as UTF-8."""
    lines = (json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows)
    with written_whole(path) as temporary:
        temporary.write_bytes("".join(lines).encode())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"read rows from {path}", found="no such file", do="check the path") from None
    except OSError as error:
        raise FormatError(
            f"read rows from {path}", found=str(error.strerror), do="give a file that can be read"
        ) from error
    # Lines end at \n alone: JSON may hold U+2028 and its like unescaped, where str.splitlines would cut.
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            found = f"byte {error.start + 1} of the line is no UTF-8"
            raise _fault(f"{path}:{number}", found, "save the file as UTF-8") from None
        if text.strip():
            yield number, text


def _row(text: str, *, place: str) -> Row:
    values = _object(text, place)
    unknown = [key for key in values if key not in KEYS]
    if unknown:
        raise _fault(place, f"the key {nearest(unknown[0], KEYS)}", "rename or remove the key")
    missing = [key for key in KEYS if key not in values]
    if missing:
        raise _fault(place, f"no key {', '.join(map(repr, missing))}")
    try:
        return Row(
            clean=_text(values, "clean", place),
            counterfactual=_text(values, "counterfactual", place),
            target=_answer(values, "target", place),
            against=_answer(values, "against", place),
        )
    except WrongUse as error:
        raise _fault(place, error.found, error.do) from None


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _fault(place, f"no JSON ({error})") from None
    if not isinstance(value, dict):
        raise _fault(place, f"a JSON {type(value).__name__}, no object")
    return value


def _text(values: dict[str, Any], key: str, place: str) -> str:
    value = values[key]
    if not isinstance(value, str):
        raise _fault(place, f"{key!r} is of type {type(value).__name__}", f"make {key!r} a text in quotes")
    return value


def _answer(values: dict[str, Any], key: str, place: str) -> Answer:
    value = values[key]
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return tuple(value)
    beside = " and holds what is no text" if isinstance(value, list) else ""
    found = f"{key!r} is of type {type(value).__name__}{beside}"
    raise _fault(place, found, f"make {key!r} a text in quotes, or a list of such")


def _fault(place: str, found: str, do: str = f"write the row as {SHAPE}") -> FormatError:
    return FormatError(f"read a row at {place}", found=found, do=do)
