"""A ratio of sums over tokens: the shape of most metrics."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.items import Items, ItemSums
from microtome.metrics.metric import Metric, PerItem


def divided(name: str, numerator: float, denominator: float, *, below: str, do: str) -> float:
    """The ratio, or an error that says why there is none.

    Args:
        name: of the metric.
        numerator: what is divided.
        denominator: what it is divided by.
        below: what the denominator is, in words.
        do: what to do where it is not above zero.

    Raises:
        WrongUse: sums that are not finite, or a denominator that is not above zero.
    """
    what = f"take the value of {name}"
    if not (math.isfinite(numerator) and math.isfinite(denominator)):
        found = f"sums that are not finite: {numerator:g} over {denominator:g}"
        raise WrongUse(what, found=found, do="leave out, and count, the tokens with infinite or undefined values")
    if denominator <= 0:
        raise WrongUse(what, found=f"{below} of {denominator:g}, which is not above zero", do=do)
    return numerator / denominator


class ItemRatio(Metric):
    """Σ numerators / Σ denominators over tokens, in float64 and divided once, at the end.

    Attributes:
        below: what the denominators are, in words, for the error where their sum is not above zero.
        when_not_above_zero: what to do then.
    """

    below: ClassVar[str] = "tokens"
    when_not_above_zero: ClassVar[str] = "add some tokens first"

    def __init__(self) -> None:
        super().__init__()
        self._sums = ItemSums()

    def value(self) -> float:
        """The ratio over all that was added.

        Raises:
            WrongUse: nothing was added, sums are not finite, or the denominator is not above zero.
        """
        above, below = self._sums.total().tolist() if self._sums.tokens else (0.0, 0.0)
        return divided(self.name, above, below, below=self.below, do=self.when_not_above_zero)

    def per_item(self) -> PerItem:
        """Items in rising order, with their numerators and denominators.

        Raises:
            WrongUse: some tokens, or all, were added without their item.
        """
        items, sums = self._sums.of_items(self.name)
        return PerItem(items, sums[:, 0].copy(), sums[:, 1].copy())

    def _sum(self, above: Float[Tensor, " t"], below: Float[Tensor, " t"], items: Items) -> None:
        self._sums.add(torch.stack([above, below], 1), items)
