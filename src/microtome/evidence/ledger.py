"""The ledger: claims that are stated before they are measured, in a folder that can be handed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from microtome.core import fingerprint
from microtome.core.artefact import RunCard, read_artefact, write_json
from microtome.core.counting import counted
from microtome.core.errors import FormatError, MissingFile, UnknownName, WrongUse, nearest
from microtome.evidence.claim import Statement
from microtome.evidence.entries import FORMAT, NAME, Entry, read_entries, write_entry
from microtome.evidence.measurement import Measurement
from microtome.evidence.quantity import Quantity
from microtome.evidence.standing import Standing, beside_each_other, standing

HEAD = "ledger.json"
RATE = 0.05


class Ledger:
    """A folder of claims. Made where there is none, else gone on with.

    What was written is never written again: every entry is a file of its own, with the time, and with the digest of
    the one before it. So a statement that was changed later shows, unless somebody makes the whole folder anew.

    Args:
        folder: where it lies.
        rate: the share of false claims among those that are supported (Benjamini-Hochberg); 0.05 unless told. It
            is settled when the ledger is made.

    Raises:
        WrongUse: a folder of something else, a rate outside (0, 1), or another than it was made with.
        FormatError: its files are damaged, or were changed.
    """

    def __init__(self, folder: str | Path, rate: float | None = None):
        self.folder = Path(folder)
        if rate is not None and not 0 < rate < 1:
            raise WrongUse(f"keep the ledger {folder}", found=f"rate={rate:g}", do="give one in (0, 1), such as 0.05")
        if not (self.folder / HEAD).exists():
            if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
                found = "a file, or a folder that holds something else"
                raise WrongUse(f"keep the ledger {folder}", found=found, do="name a new folder")
            card = RunCard("ledger", FORMAT, config={"rate": rate or RATE})
            write_json(self.folder / HEAD, {"rate": rate or RATE, "card": card.to_dict()})
        head = read_artefact(self.folder / HEAD, kind="ledger", format=FORMAT, keys=("rate",))
        if not isinstance(head["rate"], float) or not 0 < head["rate"] < 1:
            found = f"a rate of {head['rate']!r}"
            raise FormatError(f"read the ledger {folder}", found=found, do="ask for the folder as microtome wrote it")
        self.rate: float = head["rate"]
        if rate not in (None, self.rate):
            found = f"rate={rate:g}, and {self.rate:g} when it was made"
            raise WrongUse(f"go on with the ledger {folder}", found=found, do="leave the rate out")
        self._head = fingerprint.of_value(head)
        self.entries()

    @classmethod
    def load(cls, folder: str | Path) -> "Ledger":
        """A ledger that is there; nothing is written.

        Raises:
            MissingFile: there is none.
            FormatError: its files are damaged, or were changed.
        """
        if not (Path(folder) / HEAD).is_file():
            raise MissingFile(f"read the ledger {folder}", found=f"no {HEAD} there", do="check the path")
        return cls(folder)

    def state(
        self, name: str, says: str, *, measurement: str, at_least: float | None = None, at_most: float | None = None,
        items: int = 1,
    ) -> "Page":  # fmt: skip
        """States a claim and the prediction that will test it. Its measurements must then also beat their nulls.

        It may be stated anew until it is measured, and no longer.

        Args:
            name: lower-case letters, digits, - and _.
            says: the claim, as a sentence.
            measurement: by its name, such as `faithfulness at 100 units`, or `variance explained`.
            at_least, at_most: bounds that the value must keep to. With one on the bad side alone (`at_most` where
                higher is better) the claim is that there is little to find, and nulls need not be beaten.
            items: the least number of independent items that can decide it.

        Raises:
            WrongUse: it was measured already, or the name, bounds or items are none.
        """
        what = f"state the claim {name!r}"
        if not NAME.fullmatch(name):
            raise WrongUse(what, found="other letters", do="name it in lower-case letters, digits, - and _")
        told = None if at_least is None else float(at_least), None if at_most is None else float(at_most)
        statement, entries = Statement(says, measurement, *told, items), self.entries()
        if any(one.claim == name and one.stated is None for one in entries):
            found = "a claim that was measured: what it says is settled"
            raise WrongUse(what, found=found, do="state a new claim, under another name")
        write_entry(self.folder, len(entries) + 1, self._last(entries), name, statement)
        return self[name]

    def __getitem__(self, name: str) -> "Page":
        """The page of a claim, to be passed on as `ledger=`."""
        statements = _statements(self.entries())
        if name not in statements:
            raise UnknownName("claim in the ledger", name, statements, do=f"state it first: ledger.state({name!r}, …)")
        return Page(self, name, statements[name])

    def entries(self) -> tuple[Entry, ...]:
        """All that was written, in its order, read from the folder and checked."""
        return read_entries(self.folder, self._head)

    def standings(self) -> list[Standing]:
        """Where every claim stands, in the order in which they were stated."""
        entries = self.entries()
        measured = {name: [] for name in _statements(entries)}
        for entry in entries:
            measured[entry.claim] += entry.measurements
        alone = [
            standing(name, statement, [one for one in measured[name] if one.name == statement.measurement])
            for name, statement in _statements(entries).items()
        ]
        return beside_each_other(alone, self.rate)

    def record(
        self, page: "Page", measurements: tuple[Measurement, ...], quantities: tuple[Quantity, ...],
        made: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """Writes down what was found for a claim; `Page.record` is the way to it."""
        entries, what = self.entries(), f"record what was measured for the claim {page.name!r}"
        if _statements(entries).get(page.name) != page.statement:
            raise WrongUse(what, found="another statement than when it began", do="measure again, for what it says now")
        names = [one.name for one in measurements]
        if names and page.statement.measurement not in names:
            found = nearest(page.statement.measurement, names)
            raise WrongUse(what, found=found, do="state the claim anew with one of these names, and measure again")
        write_entry(
            self.folder, len(entries) + 1, self._last(entries), page.name, page.statement,
            (measurements, quantities, made),
        )  # fmt: skip

    def _last(self, entries: tuple[Entry, ...]) -> str:
        return entries[-1].digest if entries else self._head

    def __repr__(self) -> str:
        return f"<Ledger {self.folder}: {counted(len(_statements(self.entries())), 'claim')}>"

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """The claims with their states, for people."""
        claims = self.standings()
        width = max((len(one.name) for one in claims), default=0)
        lines = [f"{self.folder}: {counted(len(claims), 'claim')}, false discoveries held to {self.rate:g}"]
        for one in claims:
            p = {"p": one.p, "adjusted": one.adjusted, "smallest possible": one.smallest}
            told = ", ".join(f"{name} {value:.2g}" for name, value in p.items() if value is not None)
            lines.append(f"  {one.name:{width}}  {one.state:14}  {one.statement.says}")
            lines.append(f"  {'':{width}}  {'':14}  predicted {one.statement.prediction}; {one.why}")
            lines += [f"  {'':{width}}  {'':14}  {told}"] if told else []
        return "\n".join([*lines, *self._warning(claims)])

    def _warning(self, claims: list[Standing]) -> list[str]:
        """Where one claim alone, as good as its draws allow, could not stand beside the others."""
        smallest = max((one.smallest for one in claims if one.smallest is not None), default=0.0)
        if smallest * len(claims) <= self.rate:
            return []
        draws = round(len(claims) / self.rate) - 1
        alone = f"one claim alone among {len(claims)} could not stand (measure with draws={draws} or more)"
        return [f"  the smallest possible p-value is {smallest:.2g}: {alone}"]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        claims = [one.to_dict() for one in self.standings()]
        return {"folder": str(self.folder), "rate": self.rate, "claims": claims}


@dataclass(frozen=True)
class Page:
    """One claim of a ledger, for which something is to be measured: pass it as `ledger=`.

    Attributes:
        ledger: of which it is a page.
        name: of the claim.
        statement: as it stood when the page was opened.
    """

    ledger: Ledger
    name: str
    statement: Statement

    def record(
        self, measurements: tuple[Measurement, ...], quantities: tuple[Quantity, ...], made: Mapping[str, Any]
    ) -> None:
        """Writes down what was found.

        Args:
            measurements, quantities: all that was found, also what the claim does not speak of.
            made: the run card, from which it can be made again.

        Raises:
            WrongUse: the claim was stated anew meanwhile, or nothing that it predicts was measured.
        """
        self.ledger.record(self, measurements, quantities, made)


class Recorded(TypedDict, total=False):
    """What a function takes beside its own arguments where it can write into a ledger: `ledger=ledger["name"]`."""

    ledger: Page | None


def page_of(what: str, given: Mapping[str, Any]) -> Page | None:
    """The page among further arguments, asked for before anything is measured.

    Raises:
        UnknownName: another argument.
        WrongUse: no page, such as a ledger without the name of a claim.
    """
    for name in given:
        if name not in Recorded.__annotations__:
            raise UnknownName(f"argument of {what}", name, Recorded.__annotations__, do="remove or rename it")
    page = given.get("ledger")
    if page is not None and not isinstance(page, Page):
        found, do = f"ledger={page!r}", 'state a claim and give its page: ledger=ledger["name"]'
        raise WrongUse(f"{what} for a claim", found=found, do=do)
    return page


def _statements(entries: tuple[Entry, ...]) -> dict[str, Statement]:
    return {one.claim: one.stated for one in entries if one.stated is not None}
