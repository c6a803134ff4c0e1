"""Greater than: "The war lasted from the year 1762 to the year 17" → a tens digit above 6.

Written for tokenizers that give every digit its own token. The counterfactual starts earlier, say in
1712. `target` is every digit above the clean start's (7, 8, 9); `against` is every digit between the
two starts (2, 3, 4, 5): before the war began in the clean prompt, and the nearest years after its
beginning in the counterfactual. The starts' own digits are in neither, since there the answer hangs on
the last digit. After Hanna et al. 2023, arXiv:2305.00586, whose answers are years of two digits.
"""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import drawn, generator
from microtome.data.row import Row

EVENTS = (
    "war", "siege", "reign", "voyage", "famine", "dispute", "project", "rebellion", "journey", "conflict",
    "expedition", "campaign",
)  # fmt: skip
CENTURIES = (12, 13, 14, 15, 16, 17, 18)
STARTS = tuple((late, early) for late in range(4, 9) for early in range(1, late - 2))
UNITS = tuple(range(1, 10))


@generator("greater-than", summary="the tens digit of a year that must come after another year")
def greater_than(rng: Random) -> Iterator[Row]:
    """The two prompts differ in one digit, the tens of the first year."""
    for event, century, (late, early), unit in drawn(rng, EVENTS, CENTURIES, STARTS, UNITS):
        sentence = f"The {event} lasted from the year {century}{{}}{unit} to the year {century}"
        yield Row(
            clean=sentence.format(late),
            counterfactual=sentence.format(early),
            target=_digits(late + 1, 10),
            against=_digits(early + 1, late),
        )


def _digits(first: int, end: int) -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(first, end))
