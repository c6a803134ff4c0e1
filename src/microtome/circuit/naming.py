"""From what a user calls a basis to the basis: an entry of the registry, a dictionary, where one lies, or several."""

from collections.abc import Sequence
from pathlib import Path

from microtome.circuit.bases.dictionaries import DictionaryUnits
from microtome.circuit.basis import BASES, Basis
from microtome.core.errors import UnknownName, WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.named import dictionary_names
from microtome.model.model import Model

NEURONS = "neurons"
AND = " + "
"""Between the names of several parts that make one basis."""

Units = str | Dictionary | Basis | Sequence[str | Dictionary | Basis]
"""What can be asked for as a basis."""


def basis_of(model: Model, asked: Units) -> Basis:
    """The basis that a name, a path, a dictionary, or several of them stand for.

    Raises:
        UnknownName: neither a basis nor a dictionary is called so.
        NotSupported, WrongUse: a dictionary that cannot serve this model as a basis.
    """
    if isinstance(asked, Basis):
        return asked
    if isinstance(asked, Dictionary):
        return _of_dictionary(asked, model, str(asked))
    if isinstance(asked, str):
        names = asked.split(AND)
        return _named(model, asked) if len(names) == 1 else _together([_named(model, name) for name in names])
    if not asked:
        raise WrongUse("choose a basis", found="an empty list", do="name one, or leave it out for neurons")
    return _together([basis_of(model, one) for one in asked])


def _named(model: Model, name: str) -> Basis:
    if name in BASES:
        return BASES.get(name)
    if is_named(name):
        return _of_dictionary(load_dictionary(name), model, name)
    known = [*(entry.name for entry in BASES), *dictionary_names()]
    raise UnknownName("basis", name, known, do="choose one that `microtome list basis` shows, or name a dictionary")


def _of_dictionary(dictionary: Dictionary, model: Model, name: str) -> Basis:
    units = DictionaryUnits(dictionary, model)
    return Basis(name, units.card, (units,))


def _together(bases: list[Basis]) -> Basis:
    if len(bases) == 1:
        return bases[0]
    name = AND.join(one.name for one in bases)
    return Basis(name, {one.name: one.card for one in bases}, tuple(part for one in bases for part in one.parts))


def is_named(name: str) -> bool:
    """Whether a dictionary can be loaded by this name or path, or is a basis; of several, whether all are."""
    return all(one in BASES or one in dictionary_names() or Path(one).exists() for one in name.split(AND))
