"""The texts of the one-layer study, and the contexts in them that a computer can tell without any model."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool

from microtome.data.corpora import sae_probes
from microtome.data.corpus import corpus

LANGUAGES = {"German": "de", "French": "fr", "Russian": "ru", "Greek": "el", "Japanese": "ja"}
CODE = {"Python": "159_code_Python", "C": "158_code_C", "HTML": "160_code_HTML"}
ENGLISH = ("94_ai_gen", "100_news_fake", "45_context_ans", "101_disease_class", "142_cancer_cat_Thyroid_Cancer")
MANUALS = ("python3.11-doc", "postgresql-doc-15")
LETTERS, LEAST = 1200, 600
"""A document is a stretch of so many characters, from a text with at least as many as the second."""
MOST = 2500
"""Documents of a kind."""


@dataclass(frozen=True)
class Document:
    """A stretch of one text.

    Attributes:
        kind: the language that it is written in, of people or of programs.
        text: what it says.
    """

    kind: str
    text: str


def documents() -> list[Document]:
    """Every kind, at most `MOST` documents each, mixed."""
    found = [one for name, tag in LANGUAGES.items() for one in of_kind(name, debian(f"libreoffice-help-{tag}"))]
    found += [one for name, set_name in CODE.items() for one in of_kind(name, positive(set_name))]
    found += [one for name in ENGLISH for one in of_kind("English", corpus("sae-probes", sets=(name,)).documents())]
    found += [one for name in MANUALS for one in of_kind("English", debian(name))]
    return mixed(found)


def few_documents() -> list[Document]:
    """Of two kinds that need no download, for a run of seconds."""
    found = of_kind("Python", corpus("python-sources").documents())[:150]
    tales = " ".join(corpus("stories").documents())
    found += [Document("English", tales[i : i + LETTERS]) for i in range(0, min(len(tales), 150 * LETTERS), LETTERS)]
    return mixed(found)


def debian(package: str) -> Iterator[str]:
    """The pages of one package."""
    return corpus("debian-docs", packages=(package,)).documents()


def positive(name: str) -> Iterator[str]:
    """The texts of a labelled set that have what it is about."""
    return (text for text, label in sae_probes.pairs(name) if label)


def of_kind(kind: str, texts: Iterator[str]) -> list[Document]:
    """One stretch of each text that is long enough, from a place drawn at random."""
    rng, found, seen = np.random.default_rng(0), [], set()
    for text in texts:
        if len(text) >= LEAST and text not in seen and len(found) < MOST:
            seen.add(text)
            start = int(rng.integers(max(1, len(text) - LETTERS)))
            found.append(Document(kind, text[start : start + LETTERS]))
    return found


def mixed(found: list[Document]) -> list[Document]:
    """In an order that a seed decides."""
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


Proxy = Callable[[Document], Bool[np.ndarray, " characters"]]


def script(*names: str) -> Proxy:
    """Characters whose Unicode names begin so."""
    return lambda document: np.array([_script(character).startswith(names) for character in document.text], dtype=bool)


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "")


def written_in(kind: str) -> Proxy:
    """All of a document of this kind."""
    return lambda document: np.full(len(document.text), document.kind == kind)


def matching(pattern: str) -> Proxy:
    """What a pattern finds."""
    compiled = re.compile(pattern)

    def marked(document: Document) -> Bool[np.ndarray, " characters"]:
        marks = np.zeros(len(document.text), dtype=bool)
        for match in compiled.finditer(document.text):
            marks[match.start() : match.end()] = True
        return marks

    return marked


PROXIES: dict[str, tuple[Proxy, str]] = {
    "Cyrillic": (script("CYRILLIC"), "characters whose Unicode name begins with CYRILLIC"),
    "Greek": (script("GREEK"), "characters whose Unicode name begins with GREEK"),
    "Japanese": (script("HIRAGANA", "KATAKANA", "CJK"), "kana and Chinese characters, by their Unicode names"),
    "German": (written_in("German"), "documents of the German manual"),
    "French": (written_in("French"), "documents of the French manual"),
    "Python": (written_in("Python"), "documents labelled as Python"),
    "HTML tags": (matching(r"<[^<>\n]{1,200}>"), "what stands between < and >"),
    "numbers": (matching(r"\d+"), "digits"),
    "capitals": (matching(r"\b[A-Z][A-Z_]{2,}\b"), "words of three or more capitals and low lines"),
    "hexadecimal": (matching(r"\b0[xX][0-9a-fA-F]+|\b(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{6,}\b"),
                    "0x… and words of six or more of 0-9 and a-f, both among them"),
}  # fmt: skip
QUICK = ("Python", "numbers")
"""What there is enough of in the few documents of a quick run."""
