"""Settings that people give: each of its kind and within its range, or refused by name."""

from dataclasses import fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from microtome.core.errors import WrongUse

if TYPE_CHECKING:
    from microtome.core.config import Config

WORDS = {
    int: "a whole number", float: "a number", bool: "True or False", str: "words", NoneType: "None",
    tuple: "a list", dict: "names and values",
}  # fmt: skip


def check_kinds(config: "Config", what: str) -> None:
    """Refuses a configuration of which a field is of another kind than it says.

    Raises:
        WrongUse: one is.
    """
    for field in fields(config):
        check_kind(what, field.name, vars(config)[field.name], field.type)


def check_kind(what: str, name: str, value: Any, kind: Any) -> None:
    """Refuses a value of another kind than an annotation says. A whole number is a number; True is none.

    Args:
        what: is to be done, in words.
        name: of the setting.
        value: as it was given.
        kind: the annotation; only numbers, words, and lists and dictionaries are looked at.

    Raises:
        WrongUse: it is of another.
    """
    if not _fits(value, kind):
        raise WrongUse(what, found=f"{name} = {value!r}", do=f"give {name} as {_in_words(kind)}")


def check_range(
    what: str, name: str, value: float | int | None, *, least: float | int | None = None,
    above: float | int | None = None, most: float | int | None = None,
) -> None:  # fmt: skip
    """Refuses a number that is too small or too large; None is neither, and not a number is both.

    Raises:
        WrongUse: it is.
    """
    if value is None:
        return
    bounds = {f"of at least {least}": least is None or value >= least, f"above {above}": above is None or value > above,
              f"of at most {most}": most is None or value <= most}  # fmt: skip
    if wrong := [bound for bound, holds in bounds.items() if not holds]:
        raise WrongUse(what, found=f"{name} = {value}", do=f"give a {name} {wrong[0]}")


def _fits(value: Any, kind: Any) -> bool:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inside)
    if origin is Literal:
        return value in inside
    if origin is tuple:
        if not isinstance(value, tuple | list):
            return False
        kinds = [inside[0]] * len(value) if inside[-1] is Ellipsis else inside
        return len(kinds) == len(value) and all(map(_fits, value, kinds))
    if origin is dict:
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return kind not in WORDS or isinstance(value, kind)


def _in_words(kind: Any) -> str:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_in_words, inside)))
    if origin is Literal:
        return " or ".join(map(repr, inside))
    return WORDS.get(origin or kind, str(kind))
