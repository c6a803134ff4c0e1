"""Which rows a tokenizer can hold: prompts of one length, answers of one token each."""

from collections import Counter
from collections.abc import Callable

from microtome.data.row import Answer, Row, members

Tokens = Callable[[str], list[int]]
"""Token ids of a text **without** special tokens: a BOS would make every answer two tokens long."""

UNEQUAL = "the two prompts differ in their number of tokens"
SAME = "the two prompts are the same tokens"
SEVERAL = "an answer is not one token"
SHARED = "target and against share a token"
MERGES = "an answer would merge with the end of the prompt"


def misfit(row: Row, tokens: Tokens) -> str | None:
    """Why this tokenizer cannot hold a row, or None where it can.

    A patched activation needs a partner at the same position, and a logit difference needs answers
    that are single tokens. Where prompt and answer together are cut differently from each alone
    ("17" + "4" is one token to GPT-2), the model never meets that answer after that prompt.
    """
    prompts = tokens(row.clean), tokens(row.counterfactual)
    if len(prompts[0]) != len(prompts[1]):
        return UNEQUAL
    if prompts[0] == prompts[1]:
        return SAME
    target = _ids(row.target, tokens)
    against = _ids(row.against, tokens)
    if target is None or against is None:
        return SEVERAL
    if len({*target, *against}) < len(target) + len(against):
        return SHARED
    for text, ids in zip((row.clean, row.counterfactual), prompts, strict=True):
        for answer in (*members(row.target), *members(row.against)):
            if tokens(text + answer) != ids + tokens(answer):
                return MERGES
    return None


def counts_in_words(dropped: Counter[str]) -> str:
    """The reasons with their counts, most frequent first."""
    return "; ".join(f"{count}: {reason}" for reason, count in dropped.most_common())


def _ids(answer: Answer, tokens: Tokens) -> list[int] | None:
    """The token of each member, or None where one is not a single token."""
    cut = [tokens(member) for member in members(answer)]
    return [ids[0] for ids in cut] if all(len(ids) == 1 for ids in cut) else None
