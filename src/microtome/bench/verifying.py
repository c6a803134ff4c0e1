"""Verifying a ledger: what was measured is measured again, and the figures are compared."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from microtome.bench.recorded import Absent, Here
from microtome.bench.remaking import Figures, remade
from microtome.core.artefact import library_versions
from microtome.core.errors import CheckFailed, MicrotomeError, MissingPackage, ModelNotFound, NotFound
from microtome.core.progress import track
from microtome.evidence.entries import Entry
from microtome.evidence.ledger import Ledger
from microtome.evidence.measurement import Measurement
from microtome.evidence.record import shown

CLOSE = 1e-4
"""Two figures are the same up to this share of them: sums in another order, on another machine."""
Outcome = Literal["same", "differs", "missing", "refused"]


@dataclass(frozen=True)
class Again:
    """What became of one entry.

    Attributes:
        number: of the entry.
        claim: for which it was measured.
        kind: of its run card.
        outcome: `same`; `differs`; `missing` (not everything is here); `refused` (no run card that microtome writes).
        says: which figures, or what is missing.
    """

    number: int
    claim: str
    kind: str
    outcome: Outcome
    says: str


@dataclass(frozen=True)
class Verification:
    """A ledger's entries, each measured again.

    Attributes:
        folder: of the ledger.
        rows: one an entry that holds figures, in their order.
    """

    folder: str
    rows: tuple[Again, ...]

    def counted(self, outcome: Outcome) -> int:
        """How many entries came to that."""
        return sum(row.outcome == outcome for row in self.rows)

    def require(self) -> None:
        """Nothing where every figure came out.

        Raises:
            CheckFailed: some differ, or a card is none.
            NotFound: something that is needed is not here.
        """
        what, of = f"verify the ledger {self.folder}", f"of {len(self.rows)} entries"
        if failed := self.counted("differs") + self.counted("refused"):
            found = f"{failed} {of} that do not come out"
            raise CheckFailed(what, found=found, do="read above which, and ask whoever made the ledger")
        if missing := self.counted("missing"):
            found = f"{missing} {of} that cannot be run here"
            raise NotFound(what, found=found, do="read above what is missing, and give it")

    def summary(self) -> str:
        """A line an entry, and how many came to what."""
        lines = [f"  entry {row.number}, {row.kind} for {row.claim}: {row.outcome}: {row.says}" for row in self.rows]
        counts = [f"{n} {name}" for name in ("same", "differs", "missing", "refused") if (n := self.counted(name))]
        return "\n".join([f"{self.folder}: {', '.join(counts) or 'nothing was measured'}", *lines])

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {"folder": self.folder, "entries": [asdict(row) for row in self.rows]}


def verify(folder: str | Path, here: Here | None = None) -> Verification:
    """Measures again whatever a ledger records, and compares the figures.

    Only calls of this package are made, from what the run cards say as plain values: models, dictionaries, tasks and
    texts that have a name here, or that are given. No path in the folder is opened, and no code in it is run.

    Args:
        folder: of the ledger.
        here: models, dictionaries and stores without a name, opened by whoever verifies.

    Raises:
        MissingFile: there is no ledger.
        FormatError: its files are damaged, or were changed after they were written.
    """
    entries = [one for one in Ledger.load(folder).entries() if one.stated is None]
    rows = [_again(one, here or Here()) for one in track(entries, "measuring again")]
    return Verification(str(folder), tuple(rows))


def _again(entry: Entry, here: Here) -> Again:
    kind = str(entry.made.get("kind"))[:30]
    try:
        found = remade(entry.made, here)
    except (Absent, ModelNotFound, MissingPackage) as absent:
        return Again(entry.number, entry.claim, kind, "missing", f"{absent.found}; {absent.do}")
    except MicrotomeError as error:
        return Again(entry.number, entry.claim, kind, "refused", f"{error.what}: {error.found}")
    differing = _differing(entry, found)
    outcome = "differs" if differing else "same"
    says = "; ".join([*differing, *_other_versions(entry)]) if differing else f"{len(found)} figures"
    return Again(entry.number, entry.claim, kind, outcome, says)


def _differing(entry: Entry, found: Figures) -> list[str]:
    """Figures that are others now, in words."""
    then = {one.name: one for one in (*entry.measurements, *entry.quantities)}
    said = [f"no {name} now" for name in then if name not in found]
    said += [f"no {name} then" for name in found if name not in then]
    for name, one in then.items():
        for what, before, now in _numbers(one, found.get(name)):
            if not abs(before - now) <= CLOSE * max(1.0, abs(before)):
                said.append(f"{name}{what} {shown(before)} then, {shown(now)} now")
    return said


def _numbers(then: Any, now: Any) -> list[tuple[str, float, float]]:
    """What is compared of one figure: its value, its interval, and the mean and p-value of every null."""
    if now is None:
        return []
    pairs = [("", float(then.value), float(now.value))]
    if not (isinstance(then, Measurement) and isinstance(now, Measurement)):
        return pairs
    if then.interval is not None and now.interval is not None:
        ends = zip((", low end", ", high end"), then.interval, now.interval, strict=True)
        pairs += [(what, before, after) for what, before, after in ends]
    ours = {null.name: null for null in now.nulls}
    for null in then.nulls:
        if (other := ours.get(null.name)) is not None:
            pairs += [(f", {null.name}", null.mean, other.mean), (f", p of {null.name}", null.p_value, other.p_value)]
    return pairs


def _other_versions(entry: Entry) -> list[str]:
    before, now = entry.made.get("libraries"), library_versions()
    if not isinstance(before, dict):
        return []
    changed = [name for name in now if before.get(name, now[name]) != now[name]]
    return [f"made with {name} {before[name]}, here {now[name]}" for name in changed]
