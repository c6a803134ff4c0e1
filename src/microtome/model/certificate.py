"""The certificate: what was measured when a model was opened, so that nobody has to take it on trust."""

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from typing import Any

from microtome.core.artefact import library_versions
from microtome.core.errors import CheckFailed, FormatError
from microtome.core.showing import html_of
from microtome.model.sources.refusals import first_line

FORMAT = 3

BATCHES = frozenset({"batched rows", "padding side"})
"""Rows that runs of several rows of different length rely on."""
WATCHING = frozenset({"watched pass", "site shapes", "module sites"})
"""Rows that whatever keeps activations relies on."""
CACHE = frozenset({"cached steps"})
"""Rows that generation relies on."""
ATTRIBUTION = frozenset(
    {
        "watched pass",
        "stream sum",
        "projections",
        "frozen pass",
        "frozen branches",
        "affinity",
        "completeness of a pre-gate read",
        "completeness of a hidden unit",
        "completeness of a logit difference",
        "matrix products",
    }
)
"""Rows that attribution, patching and proofs rely on."""


@dataclass(frozen=True)
class Check:
    """One row.

    Attributes:
        name: what was compared with what.
        value: the error found; None where it could not be measured.
        tolerance: the largest error that passes; None where the value is only reported.
        passed: None where nothing was judged.
        says: what the value means, in words.
    """

    name: str
    value: float | None
    tolerance: float | None
    passed: bool | None
    says: str


def judged(name: str, value: float, tolerance: float, says: str) -> Check:
    """A row that passes where the value is a number no larger than the tolerance."""
    finite = math.isfinite(value)
    return Check(name, value if finite else None, tolerance, finite and value <= tolerance, says)


def verdict(name: str, check: Callable[[], Check]) -> Check:
    """The row that a check gives; one that failed where it could not be made, with the reason.

    A certificate says what does not work, whatever that is, and never stops a model from being opened.
    """
    try:
        return check()
    except Exception as error:  # noqa: BLE001
        return Check(name, None, None, False, f"could not be measured: {type(error).__name__}: {first_line(error)}")


def unjudged(name: str, says: str) -> Check:
    """A row for what could not be measured on this model, with the reason."""
    return Check(name, None, None, None, says)


@dataclass(frozen=True)
class Certificate:
    """The errors of one opened model.

    Attributes:
        rows: the checks, in the order in which they were made.
        model: name, fingerprint and dtype.
        versions: of the libraries that computed them.
    """

    rows: tuple[Check, ...]
    model: dict[str, str]
    versions: dict[str, str] = field(default_factory=library_versions)

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The rows outside their tolerance."""
        return tuple(row for row in self.rows if row.passed is False)

    def require(self, relies_on: Collection[str] | None = None, *, what: str = "") -> "Certificate":
        """Returns itself where the checks that matter passed.

        Args:
            relies_on: names of rows; None for all of them.
            what: what is about to be done, for the message.

        Raises:
            CheckFailed: names the rows that did not.
        """
        failed = [row for row in self.failed if relies_on is None or row.name in relies_on]
        if failed:
            raise CheckFailed(
                what or f"rely on the model {self.model['name']!r}",
                found=f"checks of the certificate that failed: {'; '.join(map(_failure, failed))}"
                if what
                else "; ".join(map(_failure, failed)),
                do="do not trust what is traced or edited in it; `microtome inspect` shows every check",
            )
        return self

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=0)
        lines = [f"certificate of {self.model['name']} ({self.model['dtype']})"]
        for row in self.rows:
            outcome = {True: "passed", False: "FAILED", None: "—"}[row.passed]
            lines.append(f"  {row.name:{width}}  {_shown(row.value):>8}  {outcome:6}  {row.says}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            "format": FORMAT,
            "title": self.model["name"],
            "passed": self.passed,
            "model": self.model,
            "versions": self.versions,
            "rows": [asdict(row) for row in self.rows],
        }

    def _repr_html_(self) -> str:
        return html_of("certificate", self.to_dict())

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Certificate":
        """The opposite of `to_dict`.

        Raises:
            FormatError: another layout.
        """
        what, do = "read a certificate", "open the model again; it is then measured anew"
        if kept.get("format") != FORMAT:
            found = f"format {kept.get('format')!r}, where this version writes {FORMAT}"
            raise FormatError(what, found=found, do=do)
        try:
            return cls(tuple(Check(**row) for row in kept["rows"]), kept["model"], kept["versions"])
        except (KeyError, TypeError) as error:
            raise FormatError(what, found=f"no whole certificate ({error})", do=do) from error


def relied_on(certificate: Certificate | None, rows: Collection[str], what: str) -> None:
    """Passes models that were found fit for what is about to be done, or of which nothing was measured.

    Raises:
        CheckFailed: one of the rows failed.
    """
    if certificate is not None:
        certificate.require(rows, what=what)


def _failure(row: Check) -> str:
    if row.value is None:
        return f"{row.name}: {row.says}"
    return f"{row.name}: {_shown(row.value)} (at most {_shown(row.tolerance)})"


def _shown(value: float | None) -> str:
    return "—" if value is None else f"{value:.1e}" if value else "0"
