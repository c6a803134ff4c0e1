"""Area under a curve over the logarithm of a circuit's size."""

import numpy as np
from jaxtyping import Float

from microtome.core.errors import WrongUse
from microtome.evidence.items import Numbers, numbers_of


def log_weights(sizes: Numbers) -> Float[np.ndarray, " sizes"]:
    """Weight of each size in the area over log N (trapezoids); they sum to 1.

    An item's numerators [items, sizes] times these weights give its area's numerator, so an area has
    the interval and the nulls of any other ratio of sums.

    Args:
        sizes: at least two, above zero and rising, [sizes].

    Raises:
        WrongUse: fewer than two sizes, or sizes that do not rise from above zero.
    """
    n = numbers_of("sizes", sizes)
    if n.size < 2 or n[0] <= 0 or not (np.diff(n) > 0).all():
        raise WrongUse(
            "take an area over log N",
            found=f"the sizes {', '.join(f'{size:g}' for size in n)}",
            do="give at least two sizes, above zero and rising",
        )
    steps = np.diff(np.log(n))
    either_side = np.concatenate([[0.0], steps]) + np.concatenate([steps, [0.0]])
    return either_side / (2 * steps.sum())


def area_over_log(sizes: Numbers, values: Numbers) -> float:
    """Mean height of a curve over log N, between the first and the last of the stated sizes.

        area = ∫ f d(log N) / (log N_last − log N_first)        trapezoids, linear in log N

    Range: that of f; a constant curve c has area c, and the base of the logarithm cancels. It depends
    on the sizes chosen, so name them beside it. The name is our own: MIB's CPR and CMD are areas
    linear in the share of edges, and are called so only on MIB's grid.

    Args:
        sizes: at least two, above zero and rising, [sizes].
        values: f at each size, [sizes].

    Raises:
        WrongUse: sizes as in `log_weights`; counts that differ; values that are not finite.

    >>> area_over_log([1, 10, 100], [0.0, 1.0, 1.0])
    0.75
    """
    weights = log_weights(sizes)
    return float(weights @ numbers_of("values of the curve", values, n=weights.size))
