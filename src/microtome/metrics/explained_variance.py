"""Explained variance: how much of the activations' variance a reconstruction accounts for."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from microtome.metrics.items import Items
from microtome.metrics.metric import PerItem, metric
from microtome.metrics.ratio import divided
from microtome.metrics.reconstruction import OfReconstruction


@metric(summary="share of the activations' variance about their global mean that is reconstructed")
class ExplainedVariance(OfReconstruction):
    """Share of the activations' variance that a reconstruction accounts for.

        EV = 1 − Σ‖x − x̂‖² / Σ‖x − m‖²        m the mean of x over everything that was added

    Sums run over tokens, norms over d. One minus the fraction of variance unexplained. m is the mean of the whole
    set, not of a batch, a document or a dimension. Sums are kept in float64 about the first token that was added,
    so neither the batches nor a mean far from zero touch the value.

    Unit: none. Range: (−∞, 1]; 1 is perfect, 0 is what the mean activation scores, below 0 is worse than that.
    Higher is better.

    When it misleads:
        - A handful of very large tokens (the first position) can own most of the variance. Leave them out before
          `add`, and say so in the figure's name: this class sees only what it is given.
        - It says nothing about behaviour. A direction with little variance can carry the answer: read it beside
          `cross_entropy_recovered_zero` and `cross_entropy_added`.
        - It falls with sparsity: compare at equal L0.
        - Other tools give other figures that go by its name: without the mean (a large mean makes it near 1), with
          the mean of squares in place of the square of the mean, as a mean of ratios over tokens, or with the
          variance of the error, which forgives a constant one.

    `per_item` gives Σ‖x − m‖² − Σ‖x − x̂‖² over Σ‖x − m‖² of each item, about the global m, which is taken as known.
    It holds d numbers for every item until then.

    Shapes:
        x, x_hat: [t, d], any float dtype, same device.

    >>> x = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    >>> ev = ExplainedVariance()
    >>> ev.add(x, x_hat=torch.tensor([[0.5, 0.0], [1.5, 0.0]]))
    >>> ev.value()
    0.75
    """

    name, unit, better, best = "explained_variance", "1", "higher", 1.0

    def __init__(self) -> None:
        super().__init__()
        self._origin: Tensor | None = None

    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        return (x - x_hat).square().sum(1), x.square().sum(1)

    def _take(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"], items: Items) -> None:
        if self._origin is None and len(x):
            self._origin = x[0].clone()
        if self._origin is None:
            return
        from_origin = x - self._origin
        error, squares = self._parts(from_origin, x_hat - self._origin)
        rest = torch.stack([error, squares, torch.ones_like(error)], 1)
        self._sums.add(torch.cat([rest, from_origin], 1), items)

    def value(self) -> float:
        """1 − Σ‖x − x̂‖² / Σ‖x − m‖² over all that was added.

        Raises:
            WrongUse: nothing was added, sums are not finite, or the activations do not vary.
        """
        error, variance = 0.0, 0.0
        if self._sums.tokens:
            error, squares, n, *sums = self._sums.total().tolist()
            variance = squares - float(np.square(sums).sum()) / n
        do = "add at least two tokens that differ"
        return 1 - divided(self.name, error, variance, below="a variance", do=do)

    def per_item(self) -> PerItem:
        """Each item's part: what is reconstructed of its variance about the global mean, and that variance.

        Raises:
            WrongUse: some tokens, or all, were added without their item.
        """
        items, table = self._sums.of_items(self.name)
        error, squares, n, sums = table[:, 0], table[:, 1], table[:, 2], table[:, 3:]
        mean = sums.sum(0) / n.sum()
        variance = squares - 2 * sums @ mean + n * (mean @ mean)
        return PerItem(items, variance - error, variance)
