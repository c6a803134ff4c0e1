"""Ways to a dictionary of planted activations: each architecture trained, and each null made at the same sparsity."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch

from microtome.bench.planted.config import BEGINS, PENALTIES, SuiteConfig, planted_config
from microtome.core.errors import WrongUse
from microtome.dictionary import architectures as architectures  # so that each registers itself
from microtome.dictionary import baselines as baselines
from microtome.dictionary.architecture import ARCHITECTURES
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.baseline import baseline
from microtome.dictionary.dictionary import Conventions, Dictionary
from microtome.dictionary.geometry import sae
from microtome.dictionary.starting import untrained
from microtome.toy.planted.features import SITE, Planted
from microtome.toy.planted.scoring import AT_ONCE
from microtome.train.doctor.check import CHECKS
from microtome.train.training import train

UNTRAINED, FROZEN = "untrained", "frozen-decoder"
NULLS = (UNTRAINED, FROZEN, "random", "pca", "neurons")
FITTED, HELD = 101, 102  # streams of tokens beside those of training
STEP = 3.0  # from penalty to penalty, as long as too many units are active at all of them, or too few


@dataclass(frozen=True)
class Place:
    """One way on one kind of activations with one seed.

    Attributes:
        kind: of activations.
        way: an architecture or a null.
        seed: of features, tokens and start.
    """

    kind: str
    way: str
    seed: int

    @property
    def planted(self) -> Planted:
        """The activations."""
        return Planted(planted_config(self.kind, self.seed))

    @property
    def k(self) -> int:
        """Active features a token, rounded."""
        return round(self.planted.config.active)


def all_architectures() -> tuple[str, ...]:
    """Every one of the registry."""
    return tuple(entry.name for entry in ARCHITECTURES)


def penalty_of(architecture: str) -> str | None:
    """The setting that its L0 falls with, or None where it has a k.

    Raises:
        UnknownName: there is no such architecture.
        WrongUse: it has neither.
    """
    names = {one.name for one in fields(ARCHITECTURES.get(architecture))}
    if "k" in names:
        return None
    for penalty in PENALTIES:
        if penalty in names:
            return penalty
    raise WrongUse(
        f"train {architecture!r} at a given sparsity", found=f"settings {', '.join(sorted(names))}",
        do=f"give it a k, or a penalty named {' or '.join(PENALTIES)}",
    )  # fmt: skip


def trained(place: Place, config: SuiteConfig, **settings: Any) -> Dictionary:
    """An architecture, or the frozen decoder, trained on the seed's tokens.

    Raises:
        TrainingStopped: a loss was not finite.
    """
    frozen = place.way == FROZEN
    architecture = TopK.name if frozen else place.way
    off = {entry.name: "off" for entry in CHECKS if entry.name != "not_finite"}  # verdicts here come from the truth
    return train(
        place.planted, site=SITE, architecture=architecture, units=place.planted.config.features, seed=place.seed,
        tokens=config.tokens, batch=config.batch, lr=config.lr, fixed_writes=frozen, doctor=off, log_every="25%",
        **config.settings.get(architecture, {}), **settings,
    )  # fmt: skip


def null(place: Place, config: SuiteConfig) -> Dictionary:
    """What nobody trained; the frozen decoder's write vectors are not either."""
    if place.way == FROZEN:
        return trained(place, config, k=place.k)
    planted = place.planted
    geometry = sae(SITE, planted.config.d, planted.config.features)
    x, _ = planted.sample(config.fitted_on, stream(place.seed, FITTED))
    if place.way != UNTRAINED:
        return baseline(place.way, geometry, k=place.k, seed=place.seed, x=x)
    made = untrained(geometry, TopK(place.k), Conventions(centred=True), seed=place.seed, length=1.0)
    with torch.no_grad():
        made.b_dec.copy_(x.mean(0))
    return made


def stream(seed: int, which: int) -> torch.Generator:
    """Draws that meet none of the training's."""
    return torch.Generator().manual_seed(seed + 10_000 * which)


def mean_l0(dictionary: Dictionary, place: Place, tokens: int) -> float:
    """Active units a token, on tokens that no training saw."""
    random, total = stream(place.seed, HELD), 0
    for size in (min(AT_ONCE, tokens - start) for start in range(0, tokens, AT_ONCE)):
        with torch.no_grad():
            total += len(dictionary.encode(place.planted.sample(size, random)[0]).ids)
    return total / tokens


@dataclass(frozen=True)
class Tuned:
    """How a penalty was chosen.

    Attributes:
        setting: its name.
        penalty: the one whose L0 came nearest.
        trials: penalties and their L0, in the order in which they were tried.
    """

    setting: str
    penalty: float
    trials: tuple[tuple[float, float], ...]


def tuned(kind: str, architecture: str, config: SuiteConfig) -> Tuned | None:
    """The penalty at which an architecture uses as many units as there are active features; None where it has a k.

    Trained in full each time, with a seed that is not scored; by L0 alone, and by no figure of the truth.
    """
    setting = penalty_of(architecture)
    if setting is None:
        return None
    place = Place(kind, architecture, config.tuned_with)

    def l0_at(penalty: float) -> float:
        return mean_l0(trained(place, config, **{setting: penalty}), place, config.scored_on)

    begin = BEGINS.get(architecture, PENALTIES[setting])
    trials = search(l0_at, place.planted.config.active, begin, most=config.trials, close=config.close)
    return Tuned(setting, nearest_of(trials, place.planted.config.active), trials)


def search(
    l0_at: Callable[[float], float], wanted: float, begin: float, *, most: int, close: float
) -> tuple[tuple[float, float], ...]:
    """Penalties tried, with their L0, until one is close: tripled until bracketed, then halved in logarithms."""
    low: float | None = None
    high: float | None = None
    trials: list[tuple[float, float]] = []
    penalty = begin
    while len(trials) < most:
        l0 = l0_at(penalty)
        trials.append((penalty, l0))
        if wanted / close <= l0 <= wanted * close:
            break
        low, high = (penalty, high) if l0 > wanted else (low, penalty)
        if low is None:
            penalty /= STEP
        elif high is None:
            penalty *= STEP
        else:
            penalty = math.sqrt(low * high)
    return tuple(trials)


def nearest_of(trials: tuple[tuple[float, float], ...], wanted: float) -> float:
    """The penalty whose L0 is nearest as a ratio; one at which nothing fires is the last to be taken."""
    return min(trials, key=lambda one: max(one[1], 1e-9) / wanted if one[1] > wanted else wanted / max(one[1], 1e-9))[0]
