"""Spans of a run, written as people say them: `5%` of it, or `200k tokens`.

A share keeps its meaning when a run is made shorter or longer, which a number of steps does not: a warm-up of 1,000
steps never ends in a run of 488.
"""

import re

from microtome.core.errors import WrongUse

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_TOKENS = re.compile(r"(\d+(?:\.\d+)?)\s*([kMB]?)\s*tokens?")
_SIZES = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}


def tokens_of(span: str, run: int) -> int:
    """The tokens that a span lasts.

    Args:
        span: `5%`, `0.5%`, `4096 tokens`, `200k tokens`, `1.5M tokens`, `1B tokens`; commas and underscores may part
            digits.
        run: tokens of the whole run.

    Raises:
        WrongUse: it is written otherwise, or is more than 100%.
    """
    written = re.sub(r"(?<=\d)[,_](?=\d)", "", span.strip())
    if (share := _SHARE.fullmatch(written)) and float(share[1]) <= 100:
        return round(float(share[1]) / 100 * run)
    if tokens := _TOKENS.fullmatch(written):
        return round(float(tokens[1]) * _SIZES[tokens[2]])
    raise WrongUse("read a span of a run", found=repr(span), do="write it as '5%' of the run, or as '200k tokens'")
