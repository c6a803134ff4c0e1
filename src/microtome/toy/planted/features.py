"""Activations made of known features: some common and most rare, in groups, with children, in more than d directions.

    x = μ + Σᵢ sᵢ fᵢ + noise

Each feature i has a direction fᵢ of length 1 and a rate; its size sᵢ is 0 where it is not active. What makes dictionary
learning hard is planted on purpose, each by a setting of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from scipy.optimize import root_scalar
from torch import Tensor

from microtome.core.config import Config
from microtome.core.errors import SiteNotFound, WrongUse

SITE = "resid.0"
COMMON = 0.5  # no feature is active more often


@dataclass(frozen=True)
class PlantedConfig(Config):
    """What is planted.

    Attributes:
        d: width of the activations.
        features: how many there are; over d of them lie in superposition.
        active: of them in a token, on average.
        tail: rates fall as rank to the power of minus this: 0 where all are alike, 1 for Zipf's law.
        correlation: of what decides whether features of a group are active (a Gaussian copula); rates stay.
        group: features of a group, neighbours in rank.
        children: of each parent; 0 for no hierarchy. A child is active only where its parent is, one at a time.
        covered: share of a parent's tokens in which one of its children is active too.
        spread: of log sizes of active features.
        noise: length of noise over that of what features write, as root mean squares.
        mean: length of μ, in the same unit.
        seed: of directions.

    Raises:
        WrongUse: a number is out of its range, or features do not divide into parents with children.
    """

    d: int = 64
    features: int = 256
    active: float = 6.0
    tail: float = 0.7
    correlation: float = 0.0
    group: int = 8
    children: int = 0
    covered: float = 0.8
    spread: float = 0.3
    noise: float = 0.0
    mean: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = {"correlation": self.correlation, "covered": self.covered}
        least = {"d": 1, "features": 1, "group": 1, "children": 0, "tail": 0, "spread": 0, "noise": 0, "mean": 0}
        bad = [f"{name}={value:g}" for name, value in shares.items() if not 0 <= value <= 1]
        bad += [f"{name}={self.to_dict()[name]:g}" for name, bound in least.items() if self.to_dict()[name] < bound]
        if self.features % (1 + self.children):
            bad.append(f"{self.features} features with {self.children} children each")
        if not 0 < self.active < COMMON * self.parents * (1 + self.covered * (self.children > 0)):
            bad.append(f"active={self.active:g} of {self.features}")
        if bad:
            raise WrongUse(
                "plant features", found=", ".join(bad), do="give shares in [0, 1], sizes above zero, features in whole "
                "families, and fewer active ones than half of them",
            )  # fmt: skip

    @property
    def parents(self) -> int:
        """Features that are nobody's children."""
        return self.features // (1 + self.children)


@dataclass(frozen=True, eq=False)
class Truth:
    """What was planted.

    Attributes:
        directions: of the features, each of length 1; the parents, the most frequent first, then their children.
        rates: share of tokens in which each is active.
        parents: of each feature, −1 where it has none.
        mean: μ.
    """

    directions: Float[Tensor, "f d"]
    rates: Float[Tensor, " f"]
    parents: Int[Tensor, " f"]
    mean: Float[Tensor, " d"]


@dataclass(frozen=True)
class Planted:
    """Activations with their truth. Can be trained on like a store: `mt.train(Planted(config), site="resid.0", …)`.

    Attributes:
        config: what is planted.
    """

    config: PlantedConfig

    @cached_property
    def truth(self) -> Truth:
        """Directions, rates and families."""
        config, random = self.config, torch.Generator().manual_seed(self.config.seed)
        directions = torch.randn(config.features, config.d, generator=random)
        directions = directions / torch.linalg.vector_norm(directions, dim=1, keepdim=True)
        above = torch.arange(config.parents)
        rates = self._rates()
        if config.children:
            each = rates * (config.covered / config.children)
            rates = torch.cat([rates, each.repeat_interleave(config.children)])
        parents = torch.cat([torch.full_like(above, -1), above.repeat_interleave(config.children)])
        mean = torch.randn(config.d, generator=random)
        length = config.mean * math.sqrt(self._power(rates))
        return Truth(directions, rates, parents, mean * length / torch.linalg.vector_norm(mean))

    def sample(self, tokens: int, random: torch.Generator) -> tuple[Float[Tensor, "t d"], Float[Tensor, "t f"]]:
        """Activations of so many tokens, and the sizes of their features."""
        config, truth = self.config, self.truth
        active = self._active(tokens, random)
        sizes = torch.exp(config.spread * torch.randn(tokens, config.features, generator=random)) * active
        x = truth.mean + sizes @ truth.directions
        if config.noise:
            scale = config.noise * math.sqrt(self._power(truth.rates) / config.d)
            x = x + scale * torch.randn(tokens, config.d, generator=random)
        return x, sizes

    def shuffled(self, seed: int = 0, sites: Sequence[str] | None = None) -> "PlantedSource":
        """Endless batches that the seed decides.

        Raises:
            SiteNotFound: a site other than the one there is.
        """
        if unknown := [site for site in sites or () if site != SITE]:
            raise SiteNotFound("read planted activations", found=f"sites {unknown}", do=f"ask for {SITE!r}")
        return PlantedSource(self, seed)

    def _rates(self) -> Float[Tensor, " f"]:
        """Of parents, so that with their children `active` features are active on average."""
        config = self.config
        shape = torch.arange(1, config.parents + 1, dtype=torch.float64) ** -config.tail
        wanted = config.active / (1 + config.covered * (config.children > 0))

        def over(scale: float) -> float:
            return float((scale * shape).clamp(max=COMMON).sum()) - wanted

        scale = float(root_scalar(over, bracket=(0, 2 * config.parents / float(shape.min()))).root)
        return (scale * shape).clamp(max=COMMON).float()

    def _active(self, tokens: int, random: torch.Generator) -> Float[Tensor, "t f"]:
        config, truth = self.config, self.truth
        own = torch.randn(tokens, config.parents, generator=random)
        shared = torch.randn(tokens, -(-config.parents // config.group), generator=random)
        shared = shared.repeat_interleave(config.group, 1)[:, : config.parents]
        drawn = math.sqrt(config.correlation) * shared + math.sqrt(1 - config.correlation) * own
        parents = (drawn < torch.special.ndtri(truth.rates[: config.parents])).float()
        if not config.children:
            return parents
        which = torch.randint(config.children, (tokens, config.parents, 1), generator=random)
        chosen = torch.zeros(tokens, config.parents, config.children).scatter_(2, which, 1.0)
        chosen *= (torch.rand(tokens, config.parents, 1, generator=random) < config.covered) * parents[..., None]
        return torch.cat([parents, chosen.flatten(1)], 1)

    def _power(self, rates: Float[Tensor, " f"]) -> float:
        """E Σ sᵢ²: the mean squared length of what features write, were they orthogonal."""
        return float(rates.sum()) * math.exp(2 * self.config.spread**2)


class PlantedSource:
    """Batches of planted activations: a `BatchSource`."""

    def __init__(self, planted: Planted, seed: int):
        self._planted, self._seed = planted, seed
        some, _ = planted.sample(8192, torch.Generator().manual_seed(planted.config.seed))
        self._norm = float(some.square().sum(1).mean())
        self._random = torch.Generator().manual_seed(seed)

    @property
    def widths(self) -> Mapping[str, int]:
        """Of the one site."""
        return {SITE: self._planted.config.d}

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² over eight thousand tokens."""
        return {SITE: self._norm}

    @property
    def card(self) -> dict[str, Any]:
        """What was planted."""
        return {"planted": self._planted.config.to_dict(), "seed": self._seed, "model": {"name": "none"}}

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Float[Tensor, "t d"]]:
        """The next tokens."""
        return dict.fromkeys(sites, self._planted.sample(size, self._random)[0])

    def state(self) -> dict[str, Any]:
        """Where the draws stand."""
        return {"random": self._random.get_state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self._random.set_state(state["random"])
