"""Errors written for the person who reads them: what was asked, what was found, what to do."""

import difflib
from collections.abc import Iterable


class MicrotomeError(Exception):
    """Base of every error that microtome raises on purpose.

    Args:
        what: what was asked, in the user's own words.
        found: what was found instead, with the offending values.
        do: what to do about it; an imperative that can be followed without reading the source.
    """

    exit_code = 1

    def __init__(self, what: str, *, found: str, do: str):
        self.what, self.found, self.do = what, found, do
        super().__init__(f"{what}\n  found: {found}\n  do:    {do}")


class WrongUse(MicrotomeError):
    """The call itself is off: an argument, a combination, an option."""

    exit_code = 2


class NotFound(MicrotomeError):
    """What was named does not exist."""

    exit_code = 3


class ModelNotFound(NotFound):
    """No model can be opened from what was given."""


class SiteNotFound(NotFound):
    """A site, layer, position or unit that this model does not have."""


class UnknownName(NotFound):
    """A name that no registry entry carries; the message lists the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, do: str):
        super().__init__(f"no {kind} is called {name!r}", found=nearest(name, known), do=do)


class NotSupported(MicrotomeError):
    """The model or file is real, but this version cannot treat it exactly."""

    exit_code = 3


class MissingPackage(NotFound):
    """An optional package is not installed; the message names the extra that brings it."""


class EditTouchedNothing(MicrotomeError):
    """An edit ran and changed no value, or never ran."""

    exit_code = 4


class SiteDidNotFire(MicrotomeError):
    """A capture was asked for at a site that the forward pass never reached."""

    exit_code = 4


class FormatError(MicrotomeError):
    """A file is malformed, truncated or not what its name says."""

    exit_code = 4


class StoreCorrupt(FormatError):
    """A store of activations whose manifest or shards are cut, gone or of another shape; `verify()` reads all bytes."""


class MissingFile(FormatError):
    """A file that was named is not there."""

    exit_code = 3


class CheckFailed(MicrotomeError):
    """A measured check of an opened model or of a result lies outside its tolerance."""

    exit_code = 4


class TrainingStopped(MicrotomeError):
    """The doctor stopped a training run; the message says what it found."""

    exit_code = 4


def nearest(name: str, known: Iterable[str]) -> str:
    """Says which of the known names lie closest to a misspelt one."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"{name!r}; the closest are {', '.join(map(repr, close))}"
    shown = ", ".join(map(repr, names[:12])) + (", …" if len(names) > 12 else "")
    return f"{name!r}; there are {shown}" if names else f"{name!r}; there are none"
