"""What a run card says, read as a stranger's: every setting of a known name and kind, every number within bounds.

Nothing here opens a path, imports a module or runs a line that a card names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from microtome.activations.store import ActivationStore
from microtome.core.checking import check_kinds
from microtome.core.config import Config
from microtome.core.errors import FormatError, NotFound
from microtome.core.fingerprint import of_module
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.named import dictionary_names
from microtome.model.model import Model
from microtome.model.opening import open as open_model
from microtome.model.sources.named import NAMED

WHAT = "measure again what a ledger records"
MOST = 10_000_000  # of any number
MOST_BYTES = 1 << 32
MANY = 100_000  # of what is repeated, and of items in a list
Kind = TypeVar("Kind", bound=Config)


class Absent(NotFound):
    """What a card needs is not on this machine."""

    def __init__(self, found: str, do: str = "open it and give it"):
        super().__init__(WHAT, found=found, do=do)


@dataclass(frozen=True)
class Here:
    """What whoever verifies has at hand beside what has a name: found by fingerprints, never by a path in a card.

    Attributes:
        models, dictionaries, stores: opened and loaded by them.
    """

    models: Sequence[Model] = ()
    dictionaries: Sequence[Dictionary] = ()
    stores: Sequence[ActivationStore] = ()

    def model(self, card: Mapping[str, Any]) -> Model:
        """The model of these weights: one that was given, or one with a short name.

        Raises:
            Absent: there is none.
        """
        name, wanted = text(card, "name"), text(card, "fingerprint")
        given = [one for one in self.models if one.fingerprint == wanted]
        if not given and name not in NAMED:
            raise Absent(f"the model {name!r} has no short name")
        model = given[0] if given else open_model(name)
        if model.fingerprint != wanted:
            raise Absent(f"the model {name!r} has other weights here ({model.fingerprint}, then {wanted})")
        if model.card["dtype"] != card.get("dtype"):
            raise Absent(f"the model {name!r} is {model.card['dtype']} here, and was {card.get('dtype')!r}")
        return model

    def dictionary(self, weights: str) -> Dictionary:
        """The dictionary of these weights: one that was given, or one with a name.

        Raises:
            Absent: there is none.
        """
        for one in self.dictionaries:
            if of_module(one) == weights:
                return one
        for name in dictionary_names():
            if of_module(named := load_dictionary(name)) == weights:
                return named
        raise Absent(f"no dictionary here has the weights {weights[:60]!r}")


def of_kind(card: Mapping[str, Any], key: str, kind: type) -> Any:
    """What a card has under a key, where that is of this kind.

    Raises:
        FormatError: it is not.
    """
    value = card.get(key)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _refused(f"{key} = {_short(value)}", f"a {kind.__name__} there")
    return value


def text(card: Mapping[str, Any], key: str) -> str:
    """Words."""
    return of_kind(card, key, str)


def section(card: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a card."""
    return of_kind(card, key, dict)


def whole(card: Mapping[str, Any], key: str, most: int = MOST) -> int:
    """A whole number within bounds."""
    return _bounded(key, of_kind(card, key, int), most)


def wholes(card: Mapping[str, Any], key: str) -> list[int]:
    """Several of them."""
    values = of_kind(card, key, list)
    _bounded(f"items of {key}", len(values), MANY)
    return [whole({key: one}, key) for one in values]


def optional(read: Callable[[Mapping[str, Any], str], Any], card: Mapping[str, Any], key: str) -> Any:
    """The same, or None."""
    return None if card.get(key) is None else read(card, key)


def settings(kind: type[Kind], values: Mapping[str, Any]) -> Kind:
    """A configuration: all its fields, no others, each of its kind and within bounds.

    Raises:
        FormatError, UnknownName, WrongUse: it is none.
    """
    known = [field.name for field in fields(kind)]
    if lacking := sorted(set(known) - values.keys()):
        raise _refused(f"no {', '.join(lacking)}", "all settings")
    made = kind.from_dict(dict(values))
    check_kinds(made, WHAT)
    for name in known:
        for number in [one for one in _flat(vars(made)[name]) if isinstance(one, int | float)]:
            _bounded(name, number, MOST_BYTES if name.endswith("_bytes") else MOST)
    return made


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, tuple) else [value]


def _bounded(name: str, value: Any, most: int) -> Any:
    if not -most <= value <= most:
        raise _refused(f"{name} = {_short(value)}", f"numbers of at most {most:,}")
    return value


def _short(value: Any) -> str:
    """A value for a message; a number may have more digits than Python would write."""
    huge = isinstance(value, int) and value.bit_length() > 64
    shown = f"a number of {value.bit_length():,} bits" if huge else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"


def _refused(found: str, wanted: str) -> FormatError:
    return FormatError(WHAT, found=found, do=f"give a ledger whose run cards have {wanted}")
