"""Indirect object: "When Mary and John went to the store, John gave a drink to" → " Mary".

The counterfactual lets the other one give, so that the answer is the other name. Wang et al. 2022,
arXiv:2211.00593, whose counterfactuals take new names instead; names and sentences are ours.
"""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import drawn, generator
from microtome.data.names import MEN, WOMEN
from microtome.data.row import Row

SENTENCES = (
    "When {a} and {b} went to the {place}, {giver} gave a {thing} to",
    "After {a} and {b} met at the {place}, {giver} handed a {thing} to",
    "While {a} and {b} were waiting at the {place}, {giver} passed a {thing} to",
    "Yesterday {a} and {b} had a long talk at the {place}, and {giver} offered a {thing} to",
    "As {a} and {b} were leaving the {place}, {giver} showed a {thing} to",
)
PLACES = ("store", "school", "park", "station", "office", "library", "hotel", "museum", "theater", "market")
THINGS = ("drink", "book", "ring", "ticket", "letter", "flower", "key", "ball", "map", "coat")


@generator("ioi", summary="who receives what one of two people gives")
def ioi(rng: Random) -> Iterator[Row]:
    """A woman and a man in either order; either of them gives."""
    axes = SENTENCES, WOMEN, MEN, (False, True), (False, True), PLACES, THINGS
    for sentence, woman, man, man_first, man_gives, place, thing in drawn(rng, *axes):
        first, second = (man, woman) if man_first else (woman, man)
        giver, receiver = (man, woman) if man_gives else (woman, man)
        words = {"a": first, "b": second, "place": place, "thing": thing}
        yield Row(
            clean=sentence.format(giver=giver, **words),
            counterfactual=sentence.format(giver=receiver, **words),
            target=f" {receiver}",
            against=f" {giver}",
        )
