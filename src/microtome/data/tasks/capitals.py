"""Capitals: "The capital of France is" → " Paris", against the capital of another country."""

from collections.abc import Iterator
from random import Random

from microtome.data.generator import asked, generator
from microtome.data.row import Row

# Well-known pairs of one common word each, which most tokenizers hold in one token. Left out: where
# the country names its capital, where the capital moves or is disputed, and Georgia, which is two.
CAPITALS = {
    "Afghanistan": "Kabul",
    "Australia": "Canberra",
    "Austria": "Vienna",
    "Belgium": "Brussels",
    "Bulgaria": "Sofia",
    "Canada": "Ottawa",
    "Chile": "Santiago",
    "China": "Beijing",
    "Cuba": "Havana",
    "Denmark": "Copenhagen",
    "Egypt": "Cairo",
    "England": "London",
    "Finland": "Helsinki",
    "France": "Paris",
    "Germany": "Berlin",
    "Greece": "Athens",
    "Hungary": "Budapest",
    "Iran": "Tehran",
    "Iraq": "Baghdad",
    "Ireland": "Dublin",
    "Italy": "Rome",
    "Jamaica": "Kingston",
    "Japan": "Tokyo",
    "Kenya": "Nairobi",
    "Norway": "Oslo",
    "Peru": "Lima",
    "Poland": "Warsaw",
    "Portugal": "Lisbon",
    "Russia": "Moscow",
    "Scotland": "Edinburgh",
    "Spain": "Madrid",
    "Sweden": "Stockholm",
    "Syria": "Damascus",
    "Wales": "Cardiff",
}


@generator("capitals", summary="the capital of a country, against that of another")
def capitals(rng: Random) -> Iterator[Row]:
    """The counterfactual names the other country."""
    return asked(rng, "The capital of {} is", CAPITALS)
