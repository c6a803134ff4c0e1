"""Opposites: "The opposite of up is" → " down", against the opposite of another word."""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import asked, generator
from microtome.data.row import Row

# Pairs in which each word has the other as its usual opposite; every word stands in one pair only.
PAIRS = (
    ("up", "down"),
    ("left", "right"),
    ("hot", "cold"),
    ("big", "small"),
    ("fast", "slow"),
    ("high", "low"),
    ("rich", "poor"),
    ("strong", "weak"),
    ("light", "dark"),
    ("early", "late"),
    ("empty", "full"),
    ("hard", "soft"),
    ("wet", "dry"),
    ("happy", "sad"),
    ("young", "old"),
    ("good", "bad"),
    ("open", "closed"),
    ("inside", "outside"),
    ("first", "last"),
    ("love", "hate"),
    ("war", "peace"),
    ("life", "death"),
    ("day", "night"),
    ("black", "white"),
    ("north", "south"),
    ("east", "west"),
    ("win", "lose"),
    ("buy", "sell"),
    ("push", "pull"),
    ("true", "false"),
    ("success", "failure"),
    ("friend", "enemy"),
    ("clean", "dirty"),
    ("thick", "thin"),
    ("near", "far"),
    ("deep", "shallow"),
    ("wide", "narrow"),
    ("positive", "negative"),
    ("winter", "summer"),
    ("above", "below"),
)
OPPOSITE = {word: other for pair in PAIRS for word, other in (pair, pair[::-1])}


@generator("opposites", summary="the opposite of a word, against that of another")
def opposites(rng: Random) -> Iterator[Row]:
    """The counterfactual asks for the opposite of a word from another pair."""
    return asked(rng, "The opposite of {} is", OPPOSITE)
