"""Columns of text in Parquet and Arrow files: one file, or a folder of a Hugging Face dataset."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microtome.core.config import Config
from microtome.core.errors import FormatError, NotFound, nearest
from microtome.core.need import need
from microtome.data.corpus import CORPORA, Corpus, Source
from microtome.data.files import of_files

ENDINGS = (".parquet", ".arrow")
CACHED = "cache-"  # what `datasets` leaves beside the data it was made from


@dataclass(frozen=True)
class TableOptions(Config):
    """What of a table is read.

    Attributes:
        field: the column of the text.
        split: of a folder, only files with this in their path (`train`); empty for all.
        licence: what is known of the rights in it.
    """

    field: str = "text"
    split: str = ""
    licence: str = "not stated"


def texts(paths: Sequence[Path], field: str) -> Iterator[str]:
    """The texts of one column, file by file; nulls are passed over.

    Raises:
        FormatError: a file cannot be read, or has no such column of text.
    """
    for path in paths:
        for batch in _batches(path, field):
            yield from (text for text in batch.to_pylist() if text is not None)


def _batches(path: Path, field: str) -> Iterator[Any]:
    arrow = need("pyarrow", extra="corpus")
    types = arrow.types
    try:
        schema, batches = (_parquet if path.suffix == ".parquet" else _arrow)(path, field)
        at = schema.get_field_index(field)
        kind = schema.field(at).type if at >= 0 else None
        if kind is None or not (types.is_string(kind) or types.is_large_string(kind)):
            found = f"no column {nearest(field, schema.names)}" if kind is None else f"{field!r} is of type {kind}"
            raise FormatError(f"read the texts of {path}", found=found, do="name the column of the text with field=")
        yield from batches
    except (arrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise FormatError(
            f"read the texts of {path}", found=reason, do="get the file again: it is not whole"
        ) from error


def _parquet(path: Path, field: str) -> tuple[Any, Iterator[Any]]:
    need("pyarrow", extra="corpus")
    file = need("pyarrow.parquet", extra="corpus").ParquetFile(path)
    return file.schema_arrow, (batch.column(0) for batch in file.iter_batches(columns=[field]))


def _arrow(path: Path, field: str) -> tuple[Any, Iterator[Any]]:
    """`datasets` saves streams; others save files with an index at their end."""
    arrow = need("pyarrow", extra="corpus")
    ipc = need("pyarrow.ipc", extra="corpus")
    held = arrow.memory_map(str(path))
    try:
        stream = ipc.open_stream(held)
        return stream.schema, (batch.column(field) for batch in stream)
    except arrow.ArrowInvalid:
        file = ipc.open_file(held)
        return file.schema, (file.get_batch(i).column(field) for i in range(file.num_record_batches))


def tables_in(folder: Path, split: str) -> list[Path]:
    """The data files of a folder, in the order of their names.

    Raises:
        NotFound: there is none.
    """
    every = sorted(one for one in folder.rglob("*") if one.suffix in ENDINGS and not one.name.startswith(CACHED))
    found = [one for one in every if split in one.relative_to(folder).as_posix()]
    if not found:
        raise NotFound(
            f"open the corpus {str(folder)!r}",
            found=f"{len(every)} .parquet or .arrow files{f', none with {split!r} in its path' if every else ''}",
            do="give the folder of a dataset, as `save_to_disk` or a download leaves it",
        )
    return found


def open_table(path: Path | None, options: TableOptions) -> Corpus:
    """The texts of a file, or of a folder of files."""
    assert path is not None
    need("pyarrow", extra="corpus")  # said now, and not when the first text is read
    paths = tables_in(path, options.split) if path.is_dir() else [path]
    digest = of_files(paths, reading=f"column {options.field}")
    return Corpus(path.name, lambda: texts(paths, options.field), digest, options.licence, str(path))


CORPORA.add(
    "table",
    Source(open_table, TableOptions, endings=(*ENDINGS, "/")),
    summary="a path: the column `text` of a .parquet or .arrow file, or of a Hugging Face dataset's folder",
    home=__name__,
)
