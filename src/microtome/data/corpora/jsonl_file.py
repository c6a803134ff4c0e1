"""A `.jsonl` file: one JSON object a line, one of whose fields is the text."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from microtome.core.config import Config
from microtome.core.errors import FormatError, nearest
from microtome.data.corpus import CORPORA, Corpus, Source
from microtome.data.files import lines, of_files


@dataclass(frozen=True)
class JsonlOptions(Config):
    """What of each object is read.

    Attributes:
        field: the key of the text.
        licence: what is known of the rights in it.
    """

    field: str = "text"
    licence: str = "not stated"


def texts(path: Path, field: str) -> Iterator[str]:
    """The text of every line; blank lines are passed over.

    Raises:
        FormatError: a line is no object with that text; the message names it.
    """
    for number, line in lines(path):
        if line.strip():
            yield _text(line, field, f"{path}:{number}")


def _text(line: str, field: str, place: str) -> str:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _fault(place, f"no JSON ({error})", field) from None
    if not isinstance(value, dict):
        raise _fault(place, f"a JSON {type(value).__name__}, no object", field)
    if field not in value:
        raise _fault(place, f"no key {nearest(field, value)}", field)
    if not isinstance(value[field], str):
        raise _fault(place, f"{field!r} is of type {type(value[field]).__name__}", field)
    return value[field]


def _fault(place: str, found: str, field: str) -> FormatError:
    do = f'write {{"{field}": "…"}} a line, or name the key of the text with field='
    return FormatError(f"read a text at {place}", found=found, do=do)


def open_jsonl(path: Path | None, options: JsonlOptions) -> Corpus:
    """The texts of a `.jsonl` file."""
    assert path is not None
    digest = of_files([path], reading=f"jsonl field {options.field}")
    return Corpus(path.name, lambda: texts(path, options.field), digest, options.licence, str(path))


CORPORA.add(
    "jsonl",
    Source(open_jsonl, JsonlOptions, endings=(".jsonl", ".ndjson")),
    summary="a path: the field `text` of a .jsonl file",
    home=__name__,
)
