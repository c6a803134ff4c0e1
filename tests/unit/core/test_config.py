"""Configurations are frozen, go to plain values and back, and refuse what they do not know."""

from dataclasses import FrozenInstanceError, dataclass

import pytest

from microtome.core.config import Config
from microtome.core.errors import UnknownName


@dataclass(frozen=True)
class Slicing(Config):
    thickness: float = 0.5
    sizes: tuple[int, ...] = (100, 300)


def test_it_goes_out_and_comes_back_the_same():
    config = Slicing(thickness=0.25, sizes=(1, 2, 3))
    assert Slicing.from_dict(config.to_dict()) == config
    assert Slicing.from_dict({"sizes": [1, 2, 3]}).sizes == (1, 2, 3)  # as JSON gives it


def test_an_unknown_key_is_refused_with_the_nearest_field():
    with pytest.raises(UnknownName) as raised:
        Slicing.from_dict({"thicknes": 1.0})
    assert str(raised.value) == (
        "no Slicing field is called 'thicknes'\n"
        "  found: 'thicknes'; the closest are 'thickness'\n"
        "  do:    remove or rename the key"
    )


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Slicing().thickness = 1.0
