"""Texts with labels: what a concept is, told by examples that have it and others that do not."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from microtome.core.errors import WrongUse
from microtome.data.corpora import sae_probes
from microtome.data.corpus import cleaned

Pairs = Iterable[tuple[str, bool]]


@dataclass(frozen=True)
class Labelled:
    """Texts of two classes.

    Attributes:
        name: of the concept.
        texts: each once, none of them blank.
        labels: whether each has it.
    """

    name: str
    texts: tuple[str, ...]
    labels: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positive(self) -> int:
        """How many texts have it."""
        return sum(self.labels)

    def few(self, n: int, seed: int = 0) -> "Labelled":
        """As many texts of both classes, at most n in all, drawn by the seed; in their order."""
        labels = np.array(self.labels)
        rng = np.random.default_rng(seed)
        each = min(n // 2, self.positive, len(self) - self.positive)
        kept = np.sort(np.concatenate([rng.permutation(np.flatnonzero(labels == one))[:each] for one in (True, False)]))
        return Labelled(self.name, tuple(self.texts[i] for i in kept), tuple(bool(labels[i]) for i in kept))


def labelled(name: str, given: str | Pairs) -> Labelled:
    """Texts of two classes, from a set of `sae-probes` or from memory.

    Args:
        name: of the concept.
        given: pairs of a text and whether it has the concept, or the name of a set such as `159_code_Python`; of a set
            with more than two targets, which one has it, as in `97_news_class=Politics`.

    Raises:
        WrongUse: something is no pair of a text and a bool, a text with both labels, or one class alone.
        UnknownName: `sae-probes` has no such set, or the set no such target.
        NotFound: the package is not installed.
    """
    labels: dict[str, bool] = {}
    for text, label in _pairs(name, given):
        text = cleaned(text)
        if labels.setdefault(text, label) is not label:
            raise _refusal(name, f"both labels for the text {text[:40]!r}", "give every text one label")
    found = {text: label for text, label in labels.items() if text.strip()}
    positive = sum(found.values())
    if not 0 < positive < len(found):
        raise _refusal(name, f"{positive} texts with it and {len(found) - positive} without", "give texts of both")
    return Labelled(name, tuple(found), tuple(found.values()))


def _pairs(name: str, given: str | Pairs) -> Iterable[tuple[str, bool]]:
    if isinstance(given, str):
        yield from sae_probes.pairs(given)
        return
    for pair in given:
        match pair:
            case (str() as text, bool() as label):
                yield text, label
            case _:
                do = "give pairs such as ('a text', True), or the name of a set of sae-probes"
                raise _refusal(name, f"{str(pair)[:60]!r}, no pair of a text and a bool", do)


def _refusal(name: str, found: str, do: str) -> WrongUse:
    return WrongUse(f"read the texts that show {name!r}", found=found, do=do)
