"""Several tests at once: p-values adjusted so that a stated share of the discoveries is false."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from microtome.core.errors import WrongUse
from microtome.evidence.items import Numbers, numbers_of


def benjamini_hochberg(p_values: Numbers) -> Float[np.ndarray, " tests"]:
    """Adjusted p-values, in the order given: those at most q are discoveries at a false rate of q.

        adjusted_(i) = min over j ≥ i of  p_(j) × tests / j        (p sorted, i counted from 1)

    Holds for tests that are independent or positively dependent (Benjamini and Hochberg 1995,
    Benjamini and Yekutieli 2001). With draws as nulls an adjusted p cannot fall below
    1 / (1 + draws): many tests against few draws can find nothing, whatever the data.

    Args:
        p_values: in (0, 1], [tests].

    Raises:
        WrongUse: no p-values, or one outside (0, 1]; zero is no p-value of draws.
    """
    found = numbers_of("p-values", p_values)
    bad = found[(found <= 0) | (found > 1)]
    if bad.size:
        raise WrongUse(
            "adjust p-values for several tests",
            found=f"{bad.size} of {found.size} outside (0, 1], such as {bad[0]:g}",
            do="give p-values as Null.against makes them, which counts the value as one of the draws",
        )
    return stats.false_discovery_control(found, method="bh")
