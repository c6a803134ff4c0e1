"""Whether this process was started together with others, and which of them it is: what torchrun says of it."""

import os

SAID = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def processes() -> int:
    """How many were started together."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in SAID) else 1


def speaks() -> bool:
    """Whether this is the one that speaks for all: the first, or the only one."""
    return processes() == 1 or os.environ["RANK"] == "0"
