"""At how many units a circuit is proved where nobody says. Imports nothing, so that help does not wait for torch."""

SIZES = (100, 300, 1000, 3000)
FEWEST_DRAWS, MOST_DRAWS, TOKENS_FOR_DRAWS = 20, 100, 4_000
"""Matched sets: with 20 no p-value lies below 0.048; the tokens that more of them may take, on all copies together."""


def usual_sizes(ranked: int) -> tuple[int, ...]:
    """The usual numbers, as far as so many ranked units go; half of these where none does."""
    return tuple(size for size in SIZES if size < ranked) or (max(1, ranked // 2),)


def usual_draws(positions: int, sizes: int) -> int:
    """How many matched sets a size a prompt is given: each is kept once and removed once."""
    return min(MOST_DRAWS, max(FEWEST_DRAWS, TOKENS_FOR_DRAWS // (2 * max(1, positions * sizes))))
