"""Sparse features, as toy models are given them: independent, or in sets that are active together or never together.

Elhage et al. 2022, 'Toy Models of Superposition', sections 2 and 7. Every model (`i`) has features of its own.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from microtome.core.errors import WrongUse

Together = Literal["independent", "correlated", "anticorrelated"]


@runtime_checkable
class Source(Protocol):
    """What toy models learn from."""

    @property
    def importance(self) -> Float[Tensor, "i n"]:
        """What a feature's error counts, of each model."""
        ...

    def sample(self, size: int, random: torch.Generator) -> Float[Tensor, "i t n"]:
        """So many inputs for each model."""
        ...

    def __getitem__(self, models: slice) -> "Source":
        """What some of the models learn from."""
        ...


@dataclass(frozen=True, eq=False)
class Features:
    """x_i = 0, or with probability p uniform on [0, 1] ([−1, 1] where signed).

    Attributes:
        probability: of being active, of each model's features: 1 − S in the paper.
        importance: what its squared error is multiplied by.
        signed: whether values are of both signs.
        together: *correlated* features of a set are active in the same inputs, with values of their own;
            *anticorrelated* ones never in the same input. Either way each is active with its probability.
        sets: features of a set, neighbours.

    Raises:
        WrongUse: shapes differ, a probability is out of [0, 1], or sets cannot be made as asked.
    """

    probability: Float[Tensor, "i n"]
    importance: Float[Tensor, "i n"]
    signed: bool = False
    together: Together = "independent"
    sets: int = 1

    def __post_init__(self) -> None:
        p, n = self.probability, self.probability.shape[1]
        if p.shape != self.importance.shape or not bool(((p >= 0) & (p <= 1)).all()):
            raise WrongUse(
                "make features", found=f"probabilities {tuple(p.shape)} from {p.min():g} to {p.max():g}, "
                f"importances {tuple(self.importance.shape)}",
                do="give both of one shape [models, features], and probabilities in [0, 1]",
            )  # fmt: skip
        if n % self.sets or (self.together == "independent") != (self.sets == 1):
            raise WrongUse(
                f"make {self.together} features", found=f"{n} features in sets of {self.sets}",
                do="give sets of 1 for independent features, otherwise larger ones that divide their number",
            )  # fmt: skip
        first = p.view(len(p), -1, self.sets)
        if self.sets > 1 and not torch.equal(first, first[:, :, :1].expand_as(first)):
            raise WrongUse(
                f"make {self.together} features", found="probabilities that differ in a set",
                do="give the features of a set one probability",
            )  # fmt: skip
        if self.together == "anticorrelated" and float(p.max()) * self.sets > 1:
            raise WrongUse(
                "make anticorrelated features", found=f"{self.sets} in a set with probability {p.max():g} each",
                do=f"give probabilities of at most 1/{self.sets}: one at a time is active",
            )  # fmt: skip

    def __getitem__(self, models: slice) -> "Features":
        """Those of some models."""
        return replace(self, probability=self.probability[models], importance=self.importance[models])

    def sample(self, size: int, random: torch.Generator) -> Float[Tensor, "i t n"]:
        """So many inputs for each model."""
        models, n = self.probability.shape
        values = torch.rand(models, size, n, generator=random, device=random.device)
        if self.sets == 1:  # one draw tells both: below p it is uniform on [0, p]
            p = self.probability[:, None].to(random.device)
            off = values >= p
            values.div_(p.clamp_min(torch.finfo(p.dtype).tiny))
        else:
            off = ~self._active(size, random)
        if self.signed:
            values.mul_(2).sub_(1)
        return values.masked_fill_(off, 0)

    def repeated(self, copies: int) -> "Features":
        """The same for so many models each, copies beside one another."""
        return replace(
            self,
            probability=self.probability.repeat_interleave(copies, 0),
            importance=self.importance.repeat_interleave(copies, 0),
        )

    def _active(self, size: int, random: torch.Generator) -> Bool[Tensor, "i t n"]:
        """Which features of which sets are active."""
        models, n = self.probability.shape
        first = self.probability[:, None, :: self.sets].to(random.device)
        drawn = torch.rand(models, size, n // self.sets, generator=random, device=random.device)
        if self.together == "anticorrelated":  # a set's draw falls into one of equal stretches, or past all of them
            which = torch.arange(self.sets, device=random.device)
            at = drawn[..., None]
            return ((at >= which * first[..., None]) & (at < (which + 1) * first[..., None])).flatten(2)
        return (drawn < first).repeat_interleave(self.sets, 2)


def features(
    n: int, probability: float | list[float], importance: float | list[float] = 1.0, *, copies: int = 1
) -> Features:
    """Independent features, for a model (times `copies`) at each probability.

    Args:
        n: features of a model.
        probability: of each feature's being active: a number a model.
        importance: a number for each feature; or one r for importances 1, r, r², ….
        copies: models that differ in their start alone.
    """
    each = torch.as_tensor(probability, dtype=torch.float32).view(-1, 1)
    decay = importance ** torch.arange(n) if isinstance(importance, float) else torch.tensor(importance)
    return Features(each.expand(-1, n), decay.float().expand(len(each), n)).repeated(copies)


@dataclass(frozen=True, eq=False)
class Points:
    """A few inputs, of which every batch is all: what a model that sees little data learns from.

    Attributes:
        x: the inputs of each model.
        importance: what a feature's error counts.
    """

    x: Float[Tensor, "i t n"]
    importance: Float[Tensor, "i n"]

    def __getitem__(self, models: slice) -> "Points":
        """Those of some models."""
        return Points(self.x[models], self.importance[models])

    def sample(self, size: int, random: torch.Generator) -> Float[Tensor, "i t n"]:
        """All of them, whatever is asked."""
        return self.x
