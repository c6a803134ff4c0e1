"""How much of a code is used on a token: L0 counts it, L1 weighs it."""

import torch

from microtome.metrics.codes import Active, OfCodes
from microtome.metrics.items import Items
from microtome.metrics.metric import metric
from microtome.metrics.ratio import ItemRatio


@metric(summary="active units a token")
class L0(OfCodes, ItemRatio):
    """Mean number of active units a token.

        L0 = mean over tokens of #{units whose value is not zero}

    Unit: units a token. Range: [0, n_units]. Neither direction is better: it is the price, and everything that it
    buys (`explained_variance`, `cross_entropy_recovered_zero`) has to be compared at equal L0.

    When it misleads:
        - The mean hides the spread: a threshold that lets hundreds of units fire on a few tokens looks as sparse as
          a fixed k.
        - Tokens that were left out when training (the first of a document) often have codes without sense: leave
          them out here as well.
        - A dictionary of several blocks (a CLT) has the sum over its blocks; measure each to compare with an SAE.
    """

    name, unit, better, best = "l0", "units a token", "neither", None

    def _take(self, codes: Active, items: Items) -> None:
        counts = codes.per_token(torch.ones_like(codes.values))
        self._sum(counts, torch.ones_like(counts), items)


@metric(summary="sum of the absolute activations a token")
class L1(OfCodes, ItemRatio):
    """Mean over tokens of the sum of absolute activations.

        L1 = mean over tokens of Σ |value|

    Unit: activation. Range: [0, ∞). Neither direction is better.

    When it misleads: doubling a write vector and halving its activations changes L1 and nothing else. It means
    something only where write vectors have norm 1, and only beside a figure in the same unit.
    """

    name, unit, better, best = "l1", "activation", "neither", None

    def _take(self, codes: Active, items: Items) -> None:
        sums = codes.per_token(codes.values.abs())
        self._sum(sums, torch.ones_like(sums), items)
