"""Agreement: "The keys to the cabinet" → " are"; with "The key" in the place of "The keys", " is".

Every other row has a second noun, of either number, between the head noun and the verb.
"""

from collections.abc import Iterator
from itertools import zip_longest
from random import Random

from microtome.data.generator import drawn, generator
from microtome.data.row import Row

# Each number as one common word, so that flipping it keeps the length of the prompt.
NOUNS = (
    ("author", "authors"),
    ("bird", "birds"),
    ("book", "books"),
    ("box", "boxes"),
    ("boy", "boys"),
    ("bridge", "bridges"),
    ("car", "cars"),
    ("cat", "cats"),
    ("chair", "chairs"),
    ("child", "children"),
    ("clock", "clocks"),
    ("doctor", "doctors"),
    ("dog", "dogs"),
    ("door", "doors"),
    ("driver", "drivers"),
    ("farmer", "farmers"),
    ("flower", "flowers"),
    ("friend", "friends"),
    ("girl", "girls"),
    ("guard", "guards"),
    ("horse", "horses"),
    ("house", "houses"),
    ("key", "keys"),
    ("king", "kings"),
    ("knife", "knives"),
    ("lawyer", "lawyers"),
    ("letter", "letters"),
    ("man", "men"),
    ("painting", "paintings"),
    ("pilot", "pilots"),
    ("plane", "planes"),
    ("player", "players"),
    ("road", "roads"),
    ("ship", "ships"),
    ("soldier", "soldiers"),
    ("song", "songs"),
    ("student", "students"),
    ("table", "tables"),
    ("teacher", "teachers"),
    ("tree", "trees"),
    ("window", "windows"),
    ("woman", "women"),
    ("worker", "workers"),
)
VERBS = (("is", "are"), ("was", "were"), ("has", "have"))
NUMBERS = (0, 1)  # singular, plural: places in the pairs above
LEADS = ("The", "I think that the", "Everyone could see that the", "It turned out that the")
LINKS = ("near", "beside", "behind", "in front of", "next to")


@generator("agreement", summary="a verb in the number of its subject, some with another noun between")
def agreement(rng: Random) -> Iterator[Row]:
    """The counterfactual flips the number of the head noun and of nothing else."""
    for pair in zip_longest(_simple(rng), _across(rng)):
        yield from (row for row in pair if row is not None)


def _simple(rng: Random) -> Iterator[Row]:
    for lead, head, number in drawn(rng, LEADS, NOUNS, NUMBERS):
        yield _row(f"{lead} {{}}", head, number, rng.choice(VERBS))


def _across(rng: Random) -> Iterator[Row]:
    for head, number, link, other, other_number in drawn(rng, NOUNS, NUMBERS, LINKS, NOUNS, NUMBERS):
        if other != head:
            yield _row(f"The {{}} {link} the {other[other_number]}", head, number, rng.choice(VERBS))


def _row(sentence: str, head: tuple[str, str], number: int, verb: tuple[str, str]) -> Row:
    return Row(
        clean=sentence.format(head[number]),
        counterfactual=sentence.format(head[1 - number]),
        target=f" {verb[number]}",
        against=f" {verb[1 - number]}",
    )
