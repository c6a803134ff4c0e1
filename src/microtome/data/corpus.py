"""A corpus: documents of text that can be read again and again, in one order, and say where they came from."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from microtome.core import fingerprint
from microtome.core.config import Config
from microtome.core.errors import NotFound, WrongUse, nearest
from microtome.core.registry import Registry
from microtome.data.holding_out import is_held_out

Texts = Callable[[], Iterator[str]]


@dataclass(frozen=True, repr=False)
class Corpus:
    """Documents of text, one after another.

    Attributes:
        name: of the corpus, or of the file without its folder.
        texts: gives all texts anew, always the same ones in the same order.
        fingerprint: digest of what `documents` gives: another fingerprint, other documents.
        licence: what is known of the rights in the texts.
        source: the file, folder or package that they came from.
        steps: what was done to them since: mixed, split, cut short.
    """

    name: str
    texts: Texts = field(compare=False)
    fingerprint: str
    licence: str
    source: str
    steps: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Corpus({self.name!r}: {self.source}{''.join(f', {step}' for step in self.steps)})"

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the texts."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "licence": self.licence,
            "source": self.source,
            "steps": list(self.steps),
        }

    def documents(self) -> Iterator[str]:
        """Every document, as Unicode without NUL characters; texts that are empty or blank are left out."""
        return (text for text in map(cleaned, self.texts()) if text.strip())

    def mixed(self, seed: int = 0, at_once: int | None = None) -> "Corpus":
        """The same documents in an order that the seed decides.

        Args:
            seed: of the order.
            at_once: how many documents to hold in memory: each is exchanged for one drawn among them, so that
                documents move about that far. None holds all, and mixes all.

        Raises:
            WrongUse: fewer than two documents at once.
        """
        if at_once is not None and at_once < 2:
            raise WrongUse(f"mix {self}", found=f"at_once={at_once}", do="hold two documents or more")
        return self._step(f"mixed with seed {seed}{'' if at_once is None else f', {at_once} at once'}",
                          lambda: _mixed(self.documents(), seed, at_once))  # fmt: skip

    def first(self, n: int) -> "Corpus":
        """The first `n` documents, or all where there are fewer.

        Raises:
            WrongUse: n is below 1.
        """
        if n < 1:
            raise WrongUse(f"take the first documents of {self}", found=f"n={n}", do="ask for one or more")
        return self._step(f"the first {n}", lambda: islice(self.documents(), n))

    def split(self, held_out: float = 0.1, seed: int = 0) -> tuple["Corpus", "Corpus"]:
        """Two corpora that share no document: the larger to train on, and about this share of them to test on.

        A document's side depends on the seed and its number alone, and is that of `ActivationStore.split`
        for a store of this corpus.

        Raises:
            WrongUse: the share does not lie between 0 and 1.
        """

        def side(kept: bool) -> Texts:
            return lambda: (
                text
                for number, text in enumerate(self.documents())
                if bool(is_held_out(np.array([number]), held_out, seed)[0]) is kept
            )

        is_held_out(np.array([0]), held_out, seed)  # a wrong share shall be told here
        said = f"{held_out:g} of seed {seed}"
        return self._step(f"without the {said} held out", side(False)), self._step(f"the {said} held out", side(True))

    def _step(self, step: str, texts: Texts) -> "Corpus":
        digest = fingerprint.of_value([self.fingerprint, step])
        return replace(self, texts=texts, fingerprint=digest, steps=(*self.steps, step))


def cleaned(text: str) -> str:
    """The text as any tokenizer can take it: half surrogate pairs become U+FFFD, NUL characters go."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "")


def _mixed(documents: Iterator[str], seed: int, at_once: int | None) -> Iterator[str]:
    draw = np.random.default_rng(seed)
    held = list(islice(documents, at_once))
    for document in documents:
        place = int(draw.integers(len(held)))
        yield held[place]
        held[place] = document
    for place in draw.permutation(len(held)):
        yield held[place]


@dataclass(frozen=True)
class Source:
    """One kind of corpus.

    Attributes:
        open: from a path (None where it is opened by its name) and its options to the corpus.
        options: the settings that it takes.
        endings: of the files that it reads; `/` is a folder; empty where it is opened by its name.
        get: brings what it needs to this machine, for `microtome get`; None where nothing need be brought.
    """

    open: Callable[[Path | None, Any], Corpus]
    options: type[Config] = Config
    endings: tuple[str, ...] = ()
    get: Callable[[], Any] | None = None


CORPORA: Registry[Source] = Registry("corpus", folder="microtome.data.corpora")


def corpus(name_or_path: str | Path, **options: Any) -> Corpus:
    """The corpus of a name or of a path.

    Args:
        name_or_path: a name that `microtome list corpus` shows, or the path of a text file, a `.jsonl`, a
            `.parquet`, or a folder of a Hugging Face dataset.
        options: settings of that kind of corpus, such as `sets` of `sae-probes` or `field` of a `.jsonl`.

    Raises:
        NotFound: there is neither such a name nor such a file, or a package that it needs is not here.
        UnknownName: an option that this kind does not have.
        FormatError: the file is not what its name says.
    """
    if isinstance(name_or_path, str) and name_or_path in CORPORA and not CORPORA.get(name_or_path).endings:
        source = CORPORA.get(name_or_path)
        path = None
    else:
        path = Path(name_or_path)
        source = _reader(path)
    return source.open(path, source.options.from_dict(options))


def corpus_of(texts: "str | Path | Corpus | Iterable[str]") -> Corpus:
    """What a front door takes for texts, as a corpus: a name or path, texts in memory, or a corpus as it is.

    Raises:
        WrongUse: something in it is no text.
        NotFound, FormatError: see `corpus`.
    """
    if isinstance(texts, Corpus):
        return texts
    if isinstance(texts, str | Path):
        return corpus(texts)
    held = tuple(texts)
    if wrong := [type(one).__name__ for one in held if not isinstance(one, str)]:
        raise WrongUse("read texts", found=f"one of type {wrong[0]}", do="give strings, a path or a corpus's name")
    digest = fingerprint.of_value([cleaned(one) for one in held])
    return Corpus("texts", lambda: iter(held), digest, "not stated", f"{len(held)} texts in memory")


def _reader(path: Path) -> Source:
    if not path.exists():
        named = [entry.name for entry in CORPORA if not entry.value.endings]
        raise NotFound(
            f"open the corpus {str(path)!r}",
            found=f"no such file or folder, and of the corpora with a name, {nearest(str(path), named)}",
            do="check the path, or choose a name that `microtome list corpus` shows",
        )
    ending = "/" if path.is_dir() else path.suffix.lower()
    fitting = [entry.value for entry in CORPORA if ending in entry.value.endings]
    return fitting[0] if fitting else CORPORA.get("text")
