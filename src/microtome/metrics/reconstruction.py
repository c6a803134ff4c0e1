"""Metrics of a reconstruction: fed with activations and what a dictionary makes of them."""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from microtome.core.errors import WrongUse
from microtome.metrics.items import Items, doubled
from microtome.metrics.ratio import ItemRatio


class OfReconstruction(ItemRatio):
    """A ratio of sums over tokens of x [t, d] and its reconstruction. A subclass says what one token gives."""

    def add(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"], items: Items = None) -> None:
        """Adds some tokens.

        Args:
            x: activations, [t, d], any float dtype.
            x_hat: their reconstruction, [t, d], on the same device.
            items: the document of each token, [t], from 0 on; without it there are no intervals.

        Raises:
            WrongUse: shapes that differ.
        """
        if x.shape != x_hat.shape:
            raise WrongUse(
                f"add a reconstruction to {self.name}",
                found=f"activations of shape {list(x.shape)}, a reconstruction of shape {list(x_hat.shape)}",
                do="give both as [tokens, width]",
            )
        self._take(doubled(x), doubled(x_hat), items)

    def _take(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"], items: Items) -> None:
        self._sum(*self._parts(x, x_hat), items)

    @abstractmethod
    def _parts(self, x: Float[Tensor, "t d"], x_hat: Float[Tensor, "t d"]) -> tuple[Tensor, Tensor]:
        """Numerator and denominator of each token, [t] both."""

    def _norms(self, x: Float[Tensor, "t d"]) -> Float[Tensor, " t"]:
        """Norms of the activations, all above zero."""
        norms = x.norm(dim=1)
        if zero := int((norms == 0).sum()):
            raise WrongUse(
                f"add a reconstruction to {self.name}",
                found=f"{zero} of {len(x)} activations are zero, and have no direction and no relative size",
                do="leave them out (padding is no token)",
            )
        return norms
