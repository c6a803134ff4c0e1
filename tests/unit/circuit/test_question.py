"""Prompts that nothing can be asked about are refused in words."""

import pytest

import microtome as mt
from microtome.core.errors import WrongUse


@pytest.fixture(scope="module")
def shipped():
    return mt.open("tiny", certify=False)


def test_an_empty_prompt_is_its_own_baseline(shipped):
    with pytest.raises(WrongUse) as refused:
        mt.trace(shipped, "")
    assert str(refused.value) == (
        "trace\n"
        "  found: a prompt of 1 token, '<|end|>', which says no more than its baseline\n"
        "  do:    give a prompt that goes on after the token that every text begins with"
    )
