"""The entries of a ledger: one file each, never rewritten, each with the digest of the one before it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from microtome.core import fingerprint
from microtome.core.artefact import RunCard, read_artefact, write_json
from microtome.core.errors import FormatError, WrongUse
from microtome.evidence.claim import Statement
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity

FORMAT = 1
FOLDER = "entries"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")  # of a claim
FILE = re.compile(r"[0-9]{6}\.json")
LARGEST = 64_000_000  # bytes of an entry; what proofs draw takes one or two million
KEYS = {"number", "at", "before", "claim", "kind", "statement", "measurements", "quantities", "made", "card"}


@dataclass(frozen=True)
class Entry:
    """One line of a ledger: a claim that is stated, or what was measured for one.

    Attributes:
        number: from 1, in the order of writing.
        at: when it was written, in UTC.
        before: the digest of the entry before it, or of the ledger's head.
        claim: the claim's name.
        stated: the statement; None where this is a measurement.
        statement: the digest of the claim's statement.
        measurements, quantities: what was found.
        made: the run card of what was found; empty for a statement.
        digest: of all of it, as it stands in the file.
    """

    number: int
    at: str
    before: str
    claim: str
    stated: Statement | None
    statement: str
    measurements: tuple[Measurement, ...]
    quantities: tuple[Quantity, ...]
    made: Mapping[str, Any]
    digest: str


def write_entry(
    folder: Path, number: int, before: str, claim: str, statement: Statement,
    found: tuple[tuple[Measurement, ...], tuple[Quantity, ...], Mapping[str, Any]] | None = None,
) -> None:  # fmt: skip
    """Writes the next entry: the statement itself, or what was found for it and the run card of that.

    Raises:
        WrongUse: another process wrote that entry meanwhile, or nothing can be written there.
    """
    path = folder / FOLDER / f"{number:06}.json"
    if path.exists():
        raise WrongUse(f"write into the ledger {folder}", found=f"entry {number} there already", do="do it again")
    measurements, quantities, made = found or ((), (), {})
    entry = {
        "number": number,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "before": before,
        "claim": claim,
        "kind": "stated" if found is None else "measured",
        "statement": statement.to_dict() if found is None else statement.digest,
        "measurements": [one.to_dict() for one in measurements],
        "quantities": [one.to_dict() for one in quantities],
        "made": made,
        "card": RunCard("ledger entry", FORMAT).to_dict(),
    }
    write_json(path, entry)


def read_entries(folder: Path, head: str) -> tuple[Entry, ...]:
    """All entries in their order, each checked against the one before it.

    Args:
        folder: of the ledger.
        head: the digest of its head, which the first entry carries.

    Raises:
        FormatError: a file is damaged or missing, was changed after the next one was written, or is none of these.
    """
    entries: list[Entry] = []
    current: dict[str, Statement] = {}
    places = sorted((folder / FOLDER).iterdir()) if (folder / FOLDER).is_dir() else []
    for number, path in enumerate(places, 1):
        if not FILE.fullmatch(path.name) or path.is_symlink() or path.stat().st_size > LARGEST:
            raise _refused(path, "no entry: a strange name, a link, or a file of more than 64 MB")
        before = entries[-1].digest if entries else head
        entry = _read(path)
        if entry.number != number or path.name != f"{number:06}.json":
            raise _refused(path, f"entry {entry.number}, where entry {number} belongs")
        if entry.before != before:
            raise _refused(path, f"an entry that follows {entry.before}, and the one before it is {before}")
        if entry.stated is not None:
            if any(one.stated is None and one.claim == entry.claim for one in entries):
                raise _refused(path, f"the claim {entry.claim!r} stated after it was measured")
            current[entry.claim] = entry.stated
        elif entry.claim not in current or current[entry.claim].digest != entry.statement:
            raise _refused(path, f"a measurement for another statement of the claim {entry.claim!r} than stands there")
        entries.append(entry)
    return tuple(entries)


def _read(path: Path) -> Entry:
    found = read_artefact(path, kind="ledger entry", format=FORMAT, keys=KEYS)
    if unknown := sorted(found.keys() - KEYS):
        raise _refused(path, f"unknown keys {unknown}")
    try:
        stated = Statement.from_dict(found["statement"]) if found["kind"] == "stated" else None
        entry = Entry(
            number=_of(int, found["number"]),
            at=_of(str, found["at"]),
            before=_of(str, found["before"]),
            claim=_of(str, found["claim"]),
            stated=stated,
            statement=_of(str, found["statement"]) if stated is None else stated.digest,
            measurements=tuple(map(Measurement.from_dict, _of(list, found["measurements"]))),
            quantities=tuple(map(Quantity.from_dict, _of(list, found["quantities"]))),
            made=_of(dict, found["made"]),
            digest=fingerprint.of_value(found),
        )
        datetime.fromisoformat(entry.at)
    except (TypeError, ValueError) as error:
        raise _refused(path, str(error)) from error
    if not NAME.fullmatch(entry.claim):
        raise _refused(path, f"a claim called {entry.claim[:80]!r}")
    return entry


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _refused(path: Path, found: str) -> FormatError:
    what = f"read the ledger entry {path}"
    return FormatError(what, found=found, do="ask whoever gave the ledger for the folder as microtome wrote it")
