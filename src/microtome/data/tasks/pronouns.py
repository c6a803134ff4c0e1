"""Pronouns: "Everyone knows that Mary is a good doctor, isn't" → " she", against " he"."""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import drawn, generator
from microtome.data.names import MEN, WOMEN
from microtome.data.row import Row

SENTENCES = (
    "So {name} is a very good {role}, isn't",
    "So {name} was never a {role}, was",
    "As for our {role} {name}, everyone says that",
    "I asked {name} about the {role}, but",
    "Because {name} is a good {role}, people think that",
    "Ever since {name} became a {role}, nobody knows where",
)
ROLES = (
    "doctor", "teacher", "lawyer", "singer", "writer", "driver", "pilot", "friend", "neighbor", "student",
    "manager", "player",
)  # fmt: skip


@generator("pronouns", summary="the pronoun that a first name asks for")
def pronouns(rng: Random) -> Iterator[Row]:
    """The counterfactual has a name of the other gender in the same sentence."""
    for sentence, role, woman, man, clean_man in drawn(rng, SENTENCES, ROLES, WOMEN, MEN, (False, True)):
        names, answers = ((man, woman), (" he", " she")) if clean_man else ((woman, man), (" she", " he"))
        yield Row(
            clean=sentence.format(name=names[0], role=role),
            counterfactual=sentence.format(name=names[1], role=role),
            target=answers[0],
            against=answers[1],
        )
