"""Programs that come with microtome. Adding one is an expression, what it reads, and `PROGRAMS.add`."""

from fractions import Fraction
from random import Random

from microtome.core.registry import Registry
from microtome.toy.compiled.language import (
    Aggregate,
    Expression,
    Indices,
    Map,
    Mean,
    Program,
    Select,
    SequenceMap,
    Tokens,
    Value,
    selector_width,
)

PROGRAMS: Registry[Program] = Registry("program")

tokens, indices = Tokens(), Indices()
LETTERS = ("a", "b", "c", "d", "e")
SEPARATOR, FILLER = ";", "_"
LONGEST = 8


def same(key: Value, query: Value) -> bool:
    """Keys equal to the query."""
    return key == query


def every(key: Value, query: Value) -> bool:
    """All keys."""
    return True


def one_less(key: int, query: int) -> bool:
    """The key just below the query."""
    return key == query - 1


alike = Select(tokens, tokens, same)
before = Select(indices, indices, one_less)
so_far = Select(tokens, tokens, every)
previous = Aggregate(before, tokens, "previous token")
count = selector_width(alike, "count of this token")


def some(words: tuple[str, ...], random: Random, least: int = 2, most: int = LONGEST) -> tuple[str, ...]:
    """An input of these words, any of them anywhere."""
    return tuple(random.choices(words, k=random.randint(least, most)))


def add(name: str, output: Expression, words: tuple[str, ...] = LETTERS, *, summary: str) -> None:
    """A program on any words in any order."""
    PROGRAMS.add(
        name, Program(output, words, LONGEST, lambda random: some(words, random)), summary=summary, home=__name__
    )


# One step: an MLP, or a head.


def next_letter(letter: str) -> str:
    """b of a, and a of the last."""
    return LETTERS[(LETTERS.index(letter) + 1) % len(LETTERS)]


add("successor", Map(next_letter, tokens, "next letter"), summary="the letter after this one, by an MLP alone")
add("previous_token", previous, summary="the token before this one")
add(
    "first_token",
    Aggregate(Select(indices, indices, lambda key, query: key == 0), tokens, "first token"),
    summary="the first token, at every position",
)
add("count_so_far", count, summary="how often this token has come so far: a histogram, causal")


# Two steps: values of values, flags of counts, words for means.

add("two_back", Aggregate(before, previous, "token before the previous"), summary="a head on top of a head, by values")
add(
    "seen_before",
    Map(lambda times: times > 1, count, "seen before"),
    summary="1 where this token has come before, else 0",
)

share_of_a = Mean(so_far, Map(lambda word: word == "a", tokens, "is a"), "share of a")


def in_words(share: Fraction) -> str:
    """A share as one of five words."""
    bounds = (("none", share == 0), ("few", share < Fraction(1, 2)), ("half", share == Fraction(1, 2)))
    return next((word for word, holds in bounds if holds), "most" if share < 1 else "all")


add("share_of_a", Map(in_words, share_of_a, "share in words"), ("a", "b", "c"), summary="how many tokens so far are a")

lead_of_a = Mean(so_far, Map(lambda word: 1 if word == "a" else -1, tokens, "vote"), "lead of a")
add(
    "majority",
    Map(lambda lead: "tie" if lead == 0 else "a" if lead > 0 else "b", lead_of_a, "majority"),
    ("a", "b"),
    summary="which of two letters has come more often",
)

first_bit = Aggregate(Select(indices, indices, lambda key, query: key == 0), tokens, "first bit")
add(
    "xor",
    SequenceMap(lambda first, last: "even" if first == last else "odd", first_bit, previous, "parity of two"),
    ("0", "1"),
    summary="the parity of the first bit and the one before this",
)


# Several steps.

add(
    "count_of_counts",
    selector_width(Select(count, count, same), "count of this count"),
    ("a", "b", "c"),
    summary="how often a token has come as often as this one had: two histograms",
)

height = Mean(so_far, Map(lambda word: {"(": 1, ")": -1}.get(word, 0), tokens, "step"), "height")
sign = Map(lambda mean: (mean > 0) - (mean < 0), height, "sign of height")
below = Map(lambda value: value < 0, sign, "below zero")
ever_below = Map(
    lambda mean: mean > 0, Mean(Select(tokens, tokens, every), below, "time below zero"), "ever below zero"
)
add(
    "brackets",
    SequenceMap(
        lambda broken, now: "broken" if broken else "open" if now > 0 else "balanced", ever_below, sign, "verdict"
    ),
    ("(", ")", "x"),
    summary="whether the brackets so far are balanced, open or broken",
)

marks = selector_width(Select(tokens, tokens, lambda key, query: key in "xy"), "marks so far")
mark = SequenceMap(lambda word, number: number if word in "xy" else None, tokens, marks, "number of this mark")
add(
    "latest_mark",
    Aggregate(Select(mark, marks, same), tokens, "latest mark"),
    ("x", "y", "a", "b"),
    summary="the latest x or y, whatever came since",
)


# After what came before: induction.


def repeated(random: Random) -> tuple[str, ...]:
    """Different letters, then one of these but the last again."""
    letters = tuple(random.sample(LETTERS, random.randint(2, len(LETTERS))))
    return (*letters, random.choice(letters[:-1]))


PROGRAMS.add(
    "induction",
    Program(Aggregate(Select(previous, tokens, same), tokens, "token after this one's twin"), LETTERS, 6, repeated),
    summary="what came after this token the first time: a head of previous tokens and an induction head",
    home=__name__,
)

occurrence = SequenceMap(lambda word, number: (word, number), tokens, count, "occurrence")
earlier = SequenceMap(
    lambda word, number: (word, number - 1) if number > 1 else None, tokens, count, "earlier occurrence"
)
add(
    "latest_induction",
    Aggregate(
        Select(Aggregate(before, occurrence, "previous occurrence"), earlier, same),
        tokens,
        "token after the latest twin",
    ),
    ("a", "b", "c"),
    summary="what came after this token the last time, on any input",
)


# The whole sequence: inputs, a separator, and fillers at which the outputs stand.


def with_fillers(letters: tuple[str, ...], random: Random, passes: int = 1) -> tuple[str, ...]:
    """The letters so many times, each time with a separator, and some fillers, no more than there are letters."""
    fillers = random.randint(1, len(letters))
    return (*(*letters, SEPARATOR) * passes, *(FILLER,) * fillers)


end = Aggregate(
    Select(tokens, tokens, lambda key, query: key == SEPARATOR and query == FILLER), indices, "place of the separator"
)
mirrored = SequenceMap(
    lambda middle, place: 2 * middle - place if middle < place <= 2 * middle else None, end, indices, "mirrored place"
)
PROGRAMS.add(
    "reverse",
    Program(
        Aggregate(Select(indices, mirrored, same), tokens, "mirrored token"),
        (*LETTERS[:4], SEPARATOR, FILLER), 9,
        lambda random: with_fillers(some(LETTERS[:4], random, 2, 4), random), LETTERS[:4],
    ),
    summary="letters, a separator, and the letters backwards, one at each filler",
    home=__name__,
)  # fmt: skip

at_fillers = Select(tokens, tokens, lambda key, query: key == query == FILLER)
passed = selector_width(Select(tokens, tokens, lambda key, query: key == SEPARATOR), "separators so far")
unsorted = SequenceMap(
    lambda word, number: word if number == 0 and word in LETTERS else None, tokens, passed, "letter of the first pass"
)
smaller = selector_width(
    Select(unsorted, tokens, lambda key, query: query in LETTERS and key <= query), "letters up to this"
)
rank = SequenceMap(
    lambda number, turn: number if turn == 1 and number else None, smaller, passed, "rank in the second pass"
)
PROGRAMS.add(
    "sort",
    Program(
        Aggregate(Select(rank, selector_width(at_fillers, "fillers so far"), same), tokens, "letter of this rank"),
        (*LETTERS[:4], SEPARATOR, FILLER), 14,
        lambda random: with_fillers(tuple(random.sample(LETTERS[:4], random.randint(2, 4))), random, 2), LETTERS[:4],
    ),
    summary="different letters twice, then sorted, one at each filler",
    home=__name__,
)  # fmt: skip
