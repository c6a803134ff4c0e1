"""What is planted, and how every architecture is trained on it."""

from dataclasses import dataclass, field, replace
from typing import Any

from microtome.core.config import Config
from microtome.core.errors import WrongUse, nearest
from microtome.toy.planted.features import PlantedConfig

PLAIN = PlantedConfig(d=32, features=64, active=3.0, tail=0.0, spread=0.3)

KINDS: dict[str, PlantedConfig] = {
    "plain": PLAIN,
    "correlated": replace(PLAIN, correlation=0.6, group=8),
    "families": replace(PLAIN, children=3, covered=0.6),
    "heavy tails": replace(PLAIN, tail=1.0, spread=0.5, noise=0.3),
    "four a dimension": replace(PLAIN, features=128),
}
WORDS: dict[str, str] = {
    "plain": "64 features in 32 dimensions, all as frequent, each on its own",
    "correlated": "the same, in groups of 8 that come together (0.6 of what decides is shared)",
    "families": "16 parents with 3 children each; in 60% of its tokens a parent has one of its children with it",
    "heavy tails": "rates fall as 1/rank, sizes vary more, and noise is 0.3 as long as what features write",
    "four a dimension": "128 features in 32 dimensions",
}

# Fewer steps than the papers take: thresholds begin where activations are, and their window reaches that far.
SETTINGS: dict[str, dict[str, Any]] = {"jumprelu": {"penalty": "tanh", "threshold": 0.1, "window": 2.0}}
# Settings of an architecture that has no k: what its mean L0 falls with, and where the search begins.
PENALTIES: dict[str, float] = {"l1": 1.5, "l0": 0.1}
BEGINS: dict[str, float] = {"gated": 6.0}
PLANTED = 500_000  # added to a seed for the directions of features


@dataclass(frozen=True)
class SuiteConfig(Config):
    """How the suite runs. Every architecture gets the same tokens in the same order, as many units as there are
    features, and on average as many active ones.

    Attributes:
        kinds: of planted activations: see `KINDS`.
        tokens, batch, lr: of every training run.
        seeds: how many; each draws features, tokens and starts anew.
        tuned_with: the seed with which penalties are chosen; none of those that are scored.
        trials: training runs for it, at most.
        close: a penalty is good where L0 is this near to the truth, as a ratio.
        scored_on: tokens of each score, which no training saw.
        fitted_on: tokens that principal components and means of nulls are taken from.
        level: of intervals; 1 − level is the share of false verdicts.
    """

    kinds: tuple[str, ...] = tuple(KINDS)
    tokens: int = 131_072
    batch: int = 512
    lr: float = 1e-2
    seeds: int = 4
    tuned_with: int = 1000
    trials: int = 8
    close: float = 1.1
    scored_on: int = 16_384
    fitted_on: int = 16_384
    level: float = 0.95
    settings: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(SETTINGS))

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise WrongUse("plant features", found=nearest(unknown[0], KINDS), do=f"choose of {', '.join(KINDS)}")
        if not (2 <= self.seeds <= self.tuned_with and self.close > 1 and self.trials >= 1):
            found = f"{self.seeds} seeds, tuned with {self.tuned_with}, {self.trials} trials, close {self.close:g}"
            raise WrongUse(
                "score architectures on planted features", found=found,
                do="give at least 2 seeds, a seed to tune with that is none of them, 1 trial or more and close above 1",
            )  # fmt: skip


QUICK = SuiteConfig(kinds=("plain", "families"), tokens=16_384, seeds=2, trials=3, close=1.5, scored_on=4096)


def planted_config(kind: str, seed: int) -> PlantedConfig:
    """What is planted of a kind with a seed.

    Its directions are drawn from another number than everything else: random directions of the same seed would be they.
    """
    return replace(KINDS[kind], seed=seed + PLANTED)
