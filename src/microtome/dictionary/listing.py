"""The dictionaries that have a name: those at hand, and those that one command trains."""

from collections.abc import Iterator

from microtome.core.artefact import read_json
from microtome.core.errors import MicrotomeError
from microtome.core.registry import Entry
from microtome.dictionary.named import dictionary_names, folder_with
from microtome.dictionary.saving import CARD
from microtome.model.sources.named import NAMED

TRANSCODERS = "/transcoders"
MINUTES = {"smollm2": 51}
"""How long training took on two CPU cores, with the settings that the command has by itself."""


class NamedDictionaries:
    """Every name with a line about it: what it is, or how to get it. What there is, is looked up each time."""

    def __iter__(self) -> Iterator[Entry[None]]:
        at_hand = {name: _described(name) for name in dictionary_names()}
        trainable = [f"{entry.name}{TRANSCODERS}" for entry in NAMED]
        rest = {name: f"not here yet: {how_to_get(name)}" for name in trainable if name not in at_hand}
        for name, summary in sorted((at_hand | rest).items()):
            yield Entry(name, summary, __name__, None)


DICTIONARIES = NamedDictionaries()


def how_to_get(name: str) -> str:
    """What to do for a dictionary that is not at hand."""
    model = name.removesuffix(TRANSCODERS)
    if model == name:
        return "check the path, or choose one that `microtome list dictionary` shows"
    time = f", about {MINUTES[model]} minutes on two CPU cores" if model in MINUTES else ""
    return f"`microtome train transcoders --model {model}` trains it{time}"


def _described(name: str) -> str:
    """What a dictionary is, by its card alone."""
    try:
        content = read_json(folder_with(name) / CARD, kind="dictionary")
        geometry, architecture = content["geometry"], content["architecture"]["name"]
        units = sum(block["units"] for block in geometry["blocks"])
        reads, writes = ([geometry[end][0], geometry[end][-1]] for end in ("reads", "writes"))
    except (MicrotomeError, KeyError, TypeError, IndexError):
        return "with a damaged card: loading it says how"
    kind = "at" if geometry["reads"] == geometry["writes"] else "from"
    where = " … ".join(dict.fromkeys(reads)) + ("" if kind == "at" else f" to {' … '.join(dict.fromkeys(writes))}")
    return f"{architecture}, {units:,} units {kind} {where}"
