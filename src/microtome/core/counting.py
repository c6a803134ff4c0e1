"""Counts in plain English."""


def counted(n: int, noun: str) -> str:
    """How many of a thing: `1 row`, `3 rows`, `1,200 tokens`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
