"""One registry class for every kind of entry: families, tasks, panels, named models.

An entry is one file in its room's folder, which is read when the registry is first asked. Entries from other
packages come through the entry-point group `microtome.<kind>`; what fails to load is raised, never skipped.
"""

import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from threading import RLock
from typing import Generic, TypeVar, cast

from microtome.core.errors import UnknownName, WrongUse

T = TypeVar("T")
Same = TypeVar("Same")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing: its name, a line about it, the module it lives in, and itself."""

    name: str
    summary: str
    home: str
    value: T


class Registry(Generic[T]):
    """Named entries of one kind. A later entry never replaces an earlier one of the same name.

    Args:
        kind: what the entries are, for messages and plugins.
        folder: the package whose modules each register theirs; None where they stand beside the registry.
    """

    def __init__(self, kind: str, *, folder: str | None = None):
        self.kind = kind
        self._folder = folder
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = False
        self._loading = RLock()

    def add(self, name: str, value: T, *, summary: str, home: str) -> T:
        """Registers a value; `home` is the module that declares it (`__name__`).

        Raises:
            WrongUse: another module holds the name already; the message names both homes.
        """
        held = self._entries.get(name)
        if held is not None:
            raise WrongUse(
                f"register the {self.kind} {name!r}",
                found=f"two entries want that name: {held.home} and {home}",
                do="rename one of them",
            )
        self._entries[name] = Entry(name, summary, home, value)
        return value

    def register(self, name: str, *, summary: str) -> Callable[[Same], Same]:
        """The same as a decorator, for functions and classes; what is decorated keeps its own type."""

        def decorate(value: Same) -> Same:
            self.add(name, cast(T, value), summary=summary, home=str(getattr(value, "__module__")))  # noqa: B009
            return value

        return decorate

    def get(self, name: str) -> T:
        """The entry of this name.

        Raises:
            UnknownName: nothing carries it; the message lists the nearest names.
        """
        self._load()
        if name not in self._entries:
            raise UnknownName(self.kind, name, self._entries, do=f"choose one that `microtome list {self.kind}` shows")
        return self._entries[name].value

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        self._load()
        return iter(sorted(self._entries.values(), key=lambda entry: entry.name))

    def _load(self) -> None:
        with self._loading:  # another thread waits for all of them; this one may ask while they load
            if self._loaded:
                return
            self._loaded = True  # already while they load: one may build on an entry that it gets from here
            try:
                if self._folder is not None:
                    import_siblings(self._folder, list(import_module(self._folder).__path__))
                for plugin in entry_points(group=f"microtome.{self.kind}"):
                    plugin.load()
            except BaseException:
                self._loaded = False  # so that whoever asks next meets the error too
                raise


def import_siblings(package: str, path: list[str]) -> None:
    """Imports every module of a folder of entries, in name order, so that each registers itself."""
    for module in sorted(pkgutil.iter_modules(path), key=lambda found: found.name):
        import_module(f"{package}.{module.name}")
