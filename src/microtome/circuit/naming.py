"""From what a user calls a basis to the basis: an entry of the registry, a dictionary, or where one is kept."""

from pathlib import Path

from microtome.circuit import bases as _bases  # noqa: F401 - its files register themselves
from microtome.circuit.bases.transcoders import Transcoders
from microtome.circuit.basis import BASES, Basis
from microtome.core.errors import UnknownName
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.exchange import load_dictionary
from microtome.dictionary.kept import kept_names
from microtome.model.model import Model

NEURONS = "neurons"


def basis_of(model: Model, asked: str | Dictionary) -> Basis:
    """The basis that a name, a path or a dictionary stands for.

    Raises:
        UnknownName: neither a basis nor a dictionary is called so.
        NotSupported, WrongUse: a dictionary that cannot serve this model as a basis.
    """
    if isinstance(asked, Dictionary):
        return Transcoders(asked, model, str(asked))
    if asked in BASES:
        return BASES.get(asked)
    if is_kept(asked):
        return Transcoders(load_dictionary(asked), model, asked)
    known = [*(entry.name for entry in BASES), *kept_names()]
    raise UnknownName("basis", asked, known, do="choose one that `microtome list basis` shows, or name a dictionary")


def is_kept(name: str) -> bool:
    """Whether a dictionary can be loaded by this name or path."""
    return name in kept_names() or Path(name).exists()
