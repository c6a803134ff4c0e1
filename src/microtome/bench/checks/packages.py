"""A package's own entries, found by its entry points, each put through the battery of its kind."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution
from typing import Any

from microtome.bench.checks import architectures, bases, families, formats, methods, metrics, panels
from microtome.bench.checks.battery import Battery, Check, Complaints
from microtome.core.errors import CheckFailed, NotFound, nearest
from microtome.core.registry import Entry, Registry

GROUP = "microtome."
BATTERIES: dict[str, Battery[Any]] = {
    one.BATTERY.kind: one.BATTERY for one in (architectures, bases, families, formats, methods, metrics, panels)
}


@dataclass(frozen=True)
class Checked:
    """What became of one promise.

    Attributes:
        kind, entry: of what was checked; the entry is the entry point's name where nothing could be loaded.
        check: the promise.
        why: it fails, in words; empty where it holds.
    """

    kind: str
    entry: str
    check: str
    why: str

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.why

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.kind} {self.entry}: {self.check}" + (
            f": {self.why}" if self.why else ""
        )


def check(package: str, kinds: Collection[str], registry: Callable[[str], Registry[Any]]) -> Iterator[Checked]:
    """Puts every entry that a package registers through the battery of its kind.

    Args:
        package: an installed distribution.
        kinds: of entries, all that there are.
        registry: of a kind.

    Raises:
        NotFound: no such package, or one that registers nothing.
    """
    points = _points(package)
    homes = {point.module.partition(".")[0] for point in points}
    for kind in dict.fromkeys(point.group.removeprefix(GROUP) for point in points):
        own = [point for point in points if point.group == GROUP + kind]
        if kind not in kinds:
            why = f"there is no kind of entry called {nearest(kind, kinds)}"
            yield from (Checked(kind, point.name, "its group is a kind of entry", why) for point in own)
            continue
        loaded = [_loads(kind, point, registry) for point in own]
        yield from loaded
        if all(one.passed for one in loaded):
            yield from _entries(kind, registry(kind), homes)


def require(found: list[Checked], package: str) -> None:
    """Nothing where every promise holds.

    Raises:
        CheckFailed: one does not.
    """
    if failed := [one for one in found if not one.passed]:
        raise CheckFailed(
            f"check the package {package!r}", found=f"{len(failed)} of {len(found)} checks that fail",
            do="read above why, mend these entries, and check again",
        )  # fmt: skip


def _points(package: str) -> list[EntryPoint]:
    what = f"check the package {package!r}"
    try:
        installed: Distribution = distribution(package)
    except (PackageNotFoundError, ValueError):
        raise NotFound(
            what, found="no installed package of that name", do="install it, as in pip install -e ."
        ) from None
    points = [point for point in installed.entry_points if point.group.startswith(GROUP)]
    if not points:
        groups = sorted({point.group for point in installed.entry_points})
        found = f"no entry point in a group {GROUP}KIND; it has {', '.join(groups) or 'none'}"
        raise NotFound(what, found=found, do="declare its entries, as in docs/how-to/check-a-package.md")
    return points


def _loads(kind: str, point: EntryPoint, registry: Callable[[str], Registry[Any]]) -> Checked:
    """Its module is imported, and the registry with it."""
    try:
        point.load()
        _ = list(registry(kind))
    except Exception as error:  # noqa: BLE001 - a stranger's module may raise anything; that is what is told
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return Checked(kind, point.name, "it can be loaded", why)
    return Checked(kind, point.name, "it can be loaded", "")


def _entries(kind: str, registry: Registry[Any], homes: set[str]) -> Iterator[Checked]:
    entries = [entry for entry in registry if entry.home.partition(".")[0] in homes]
    if not entries:
        why = f"no {kind} is registered from {', '.join(sorted(homes))}: home= has to be __name__"
        yield Checked(kind, "none", "it registers an entry", why)
    for entry in entries:
        yield Checked(kind, entry.name, EVERY.name, EVERY.failure(entry))
        if kind in BATTERIES:
            yield from checked(BATTERIES[kind], entry)


def checked(battery: Battery[Any], entry: Entry[Any]) -> Iterator[Checked]:
    """The battery of one entry; where nothing can be made of it to look at, that is what fails."""
    made: list[Any] = []
    ready = Check[Entry[Any]]("it can be tried", lambda one: made.append(battery.subject(one)) or ())
    if why := ready.failure(entry):
        yield Checked(battery.kind, entry.name, ready.name, why)
        return
    for one in battery.checks:
        yield Checked(battery.kind, entry.name, one.name, one.failure(made[0]))


def _said(entry: Entry[Any]) -> Complaints:
    if not entry.summary.strip() or "\n" in entry.summary:
        yield f"a summary of {entry.summary!r}, where one line belongs"
    if entry.name != entry.name.strip() or not entry.name:
        yield f"the name {entry.name!r}"


EVERY: Check[Entry[Any]] = Check("it has a name and a line about it", _said)
