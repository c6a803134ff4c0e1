"""How often units fire: the density of each unit, and the units that never fire or fire too often."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.codes import Active, OfCodes
from microtome.metrics.items import Items
from microtome.metrics.metric import metric
from microtome.metrics.ratio import ItemRatio


class Histogram(NamedTuple):
    """Units by the logarithm of their density.

    Attributes:
        edges: log10 of the density at the edges of the bins, [bins + 1].
        counts: units in each bin, [bins]; the last bin holds its upper edge too.
        never: units that did not fire in the window, and so are in no bin.
    """

    edges: Float[Tensor, " edges"]
    counts: Int[Tensor, " bins"]
    never: int


class FiringCounts(OfCodes):
    """On how many tokens each unit fired, over a window of tokens: all that were added.

    Attributes:
        window: tokens added so far; a figure of dead or dense units says nothing without it.
    """

    def __init__(self, n_units: int):
        super().__init__(n_units)
        self._counts = torch.zeros(n_units, dtype=torch.int64)
        self.window = 0

    def _take(self, codes: Active, items: Items) -> None:
        units = codes.units.cpu()
        self._counts.index_add_(0, units, torch.ones_like(units, dtype=torch.int64))
        self.window += codes.tokens

    def per_unit(self) -> Float[Tensor, " u"]:
        """Share of the window's tokens on which each unit fired, float64, [u].

        Raises:
            WrongUse: no tokens were added.
        """
        if not self.window:
            raise WrongUse(f"take the value of {self.name}", found="a window of 0 tokens", do="add some tokens first")
        return self._counts.double() / self.window


@metric(summary="share of all pairs of token and unit that are active; the density of each unit")
class Density(FiringCounts, ItemRatio):
    """How densely codes are filled: the mean over units of the share of tokens on which a unit fires.

        density_u = tokens on which u fires / tokens of the window        value = mean over u = L0 / n_units

    `per_unit` gives each unit's own, `histogram` their spread on a log10 scale.

    Unit: none. Range: [0, 1]. Neither direction is better.

    When it misleads: densities span many orders of magnitude, so the mean is that of the few dense units; look at
    the histogram. A density near 1 / window is known to a factor of a few only, and none below it is seen.
    """

    name, unit, better, best = "density", "1", "neither", None

    def _take(self, codes: Active, items: Items) -> None:
        super()._take(codes, items)
        counts = codes.per_token(torch.ones_like(codes.values))
        self._sum(counts, torch.full_like(counts, self.n_units), items)

    def histogram(self, bins: int = 50) -> Histogram:
        """Units by log10 of their density, in even bins from one firing in the window up to every token.

        Units that never fired have no logarithm: they are counted apart, and not drawn at a made-up density.

        Raises:
            WrongUse: fewer than two tokens were added, or there are no bins.
        """
        if self.window < 2 or bins < 1:
            found = f"a window of {self.window} tokens, {bins} bins"
            raise WrongUse("draw a histogram of densities", found=found, do="add two tokens or more, ask for a bin")
        density = self.per_unit()
        fired = density[density > 0].log10()
        lowest = -torch.tensor(float(self.window), dtype=torch.float64).log10().item()
        # Logarithms round, and what fires once or always lies on an edge: it belongs to the bin inside.
        inside = fired.clamp(lowest, 0.0)
        edges = torch.linspace(lowest, 0.0, bins + 1, dtype=torch.float64)
        counts = torch.histc(inside, bins, lowest, 0.0).long()
        return Histogram(edges, counts, self.n_units - len(fired))


@metric(summary="share of units that never fired in the window of tokens that were added")
class DeadFraction(FiringCounts):
    """Share of units that fired on no token of the window.

        dead = #{u: fired on none of the tokens added} / n_units

    Unit: none. Range: [0, 1]. Lower is better. State `window` beside it: there is no figure without one.

    When it misleads:
        - It falls as the window grows. A unit silent for n tokens has, at 95%, a density below 3 / n, and no more
          is known: rare units and dead ones look alike.
        - Trained dictionaries without dead units can hold many that fire on nothing in particular.
    """

    name, unit, better, best = "dead_fraction", "1", "lower", 0.0

    def value(self) -> float:
        """The share over the window.

        Raises:
            WrongUse: no tokens were added.
        """
        return float((self.per_unit() == 0).double().mean())


@metric(summary="share of units that fired on more than a tenth of the tokens that were added")
class DenseFraction(FiringCounts):
    """Share of units that fired on more than a stated share of the window's tokens.

        dense = #{u: density_u > above} / n_units

    Unit: none. Range: [0, 1]. Lower is better. State `above` beside it (0.1 here; 0.01 is also in use).

    When it misleads: dense units are not broken as such. Some carry what is always there, a position or a norm; they
    are units that say little about one token.

    Args:
        n_units: how many units there are.
        above: the share of tokens above which a unit is dense, in [0, 1).
    """

    name, unit, better, best = "dense_fraction", "1", "lower", 0.0

    def __init__(self, n_units: int, above: float = 0.1):
        super().__init__(n_units)
        if not 0 <= above < 1:
            raise WrongUse("count dense units", found=f"those above a share of {above:g}", do="give 0 ≤ above < 1")
        self.above = above

    def value(self) -> float:
        """The share over the window.

        Raises:
            WrongUse: no tokens were added.
        """
        return float((self.per_unit() > self.above).double().mean())
