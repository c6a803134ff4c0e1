"""At how many units a circuit is proved where nobody says. Imports nothing, so that help does not wait for torch."""

SIZES = (100, 300, 1000, 3000)


def usual_sizes(ranked: int) -> tuple[int, ...]:
    """The usual numbers, as far as so many ranked units go; half of these where none does."""
    return tuple(size for size in SIZES if size < ranked) or (max(1, ranked // 2),)
