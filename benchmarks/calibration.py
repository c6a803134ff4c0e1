"""How often the statistics of `microtome.evidence` are right where the truth is known.

python benchmarks/calibration.py

Intervals at a level of 95%: how often they hold the true value, over 1,000 samples a case. P-values where the null is
true: how often p ≤ α. Shares: how often the exact interval holds the true rate. Discoveries: which share is false.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats
from timing import machine

from microtome.evidence import (
    Null,
    benjamini_hochberg,
    clopper_pearson,
    mean_interval,
    null_of_the_mean,
    ratio_of_sums,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]

# Items by the name of their distribution, and their true mean.
ITEMS: dict[str, tuple[Draw, float]] = {
    "normal": (lambda rng, n: rng.normal(0.7, 0.3, n), 0.7),
    "exponential": (lambda rng, n: rng.exponential(1.0, n), 1.0),
    "log-normal": (lambda rng, n: rng.lognormal(0.0, 0.75, n), float(np.exp(0.75**2 / 2))),
}
ALPHAS = (0.01, 0.05, 0.1, 0.25, 0.5)


def covered_mean(name: str, n: int, seed: int) -> bool:
    """Whether the interval of a mean holds it."""
    draw, truth = ITEMS[name]
    return _holds(mean_interval(draw(np.random.default_rng(seed), n), seed=seed).interval, truth)


def covered_ratio(name: str, n: int, seed: int) -> bool:
    """Whether the interval of a ratio of sums holds it, with uneven denominators."""
    draw, truth = ITEMS[name]
    rng = np.random.default_rng(seed)
    below = rng.uniform(1, 3, n)
    return _holds(ratio_of_sums(below * draw(rng, n), below, seed=seed).interval, truth)


INTERVALS = {"mean": covered_mean, "ratio": covered_ratio}
SIZES = (5, 20, 100)


def _holds(interval: tuple[float, float] | None, truth: float) -> bool:
    assert interval is not None
    return interval[0] <= truth <= interval[1]


def true_p(draws: int, ties: bool, seed: int) -> float:
    """A p-value of one item under a true null: value and draws from one distribution, in steps where ties are asked."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(2.0, 1 + draws).astype(float) if ties else rng.exponential(size=1 + draws)
    return Null.against("draws", float(x[0]), x[1:]).p_value


def true_p_of_mean(draws: int, n: int, seed: int) -> float:
    """A p-value of a mean over items under a true null."""
    x = np.random.default_rng(seed).normal(size=(n, 1 + draws))
    null = null_of_the_mean(x[:, 1:], np.ones(n), repeats=1000, seed=seed)
    return Null.against("draws", float(x[:, 0].mean()), null).p_value


def least_share_coverage(n: int, rates: np.ndarray) -> float:
    """How often the exact interval holds a rate, at the worst of some rates: not drawn, but summed over all counts."""
    intervals = [clopper_pearson(k, n).interval for k in range(n + 1)]
    held = np.array([[_holds(one, rate) for one in intervals] for rate in rates])
    return float((stats.binom.pmf(np.arange(n + 1), n, rates[:, None]) * held).sum(1).min())


def false_share(true_nulls: int, effects: int, q: float, correlation: float, seed: int) -> float:
    """Which share of the discoveries is false: one-sided z tests, equally correlated."""
    rng = np.random.default_rng(seed)
    m = true_nulls + effects
    z = np.sqrt(correlation) * rng.normal() + np.sqrt(1 - correlation) * rng.normal(size=m)
    z[true_nulls:] += 3
    discovered = benjamini_hochberg(stats.norm.sf(z)) <= q
    return float(discovered[:true_nulls].sum() / max(1, discovered.sum()))


def _report(repeats: int) -> Iterator[str]:
    yield f"intervals at 95%, held in {repeats:,} samples (two standard errors: {2 * (0.0475 / repeats) ** 0.5:.3f})"
    yield f"  {'':12}" + "".join(f"{f'{kind}, n={n}':>19}" for kind in INTERVALS for n in SIZES)
    for name in ITEMS:
        shares = [np.mean([held(name, n, s) for s in range(repeats)]) for held in INTERVALS.values() for n in SIZES]
        yield f"  {name:12}" + "".join(f"{share:19.3f}" for share in shares)
    yield f"p-values under a true null, share with p ≤ α, {repeats:,} samples"
    yield f"  {'α':32}" + "".join(f"{alpha:8.2f}" for alpha in ALPHAS)
    cases: dict[str, Callable[[int], float]] = {
        f"{draws} draws{', with ties' if ties else ''}": lambda seed, d=draws, t=ties: true_p(d, t, seed)
        for draws in (19, 20, 99)
        for ties in (False, True)
    }
    cases |= {
        f"mean of {n} items, {draws} draws each": lambda seed, d=draws, n=n: true_p_of_mean(d, n, seed)
        for n in (20, 100)
        for draws in (2, 20)
    }
    for name, draw in cases.items():
        p = np.array([draw(seed) for seed in range(repeats)])
        yield f"  {name:32}" + "".join(f"{np.mean(p <= alpha):8.3f}" for alpha in ALPHAS)
    grid = np.linspace(0.01, 0.99, 99)
    least = {n: least_share_coverage(n, grid) for n in (1, 5, 20, 100, 200)}
    yield "exact interval of a share at 95%, least coverage over rates 0.01 to 0.99, exact: " + ", ".join(
        f"{share:.4f} for n={n}" for n, share in least.items()
    )
    for nulls, effects, correlation in ((100, 0, 0.0), (80, 20, 0.0), (80, 20, 0.5)):
        share = np.mean([false_share(nulls, effects, 0.1, correlation, seed) for seed in range(repeats)])
        yield (
            f"Benjamini-Hochberg at q = 0.1, {nulls} true nulls of {nulls + effects}, correlation {correlation:g}: "
            f"{share:.3f} of the discoveries false (bound {0.1 * nulls / (nulls + effects):.3f})"
        )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeats", type=int, default=1000)
    repeats = options.parse_args().repeats
    start = time.perf_counter()
    print(machine())
    for line in _report(repeats):
        print(line, flush=True)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
