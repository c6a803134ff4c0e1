"""Where training takes its batches from: a store on disk, a model that is run as one goes, a planted source."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class BatchSource(Protocol):
    """Gives shuffled rows of activations at several sites, the same tokens at each, and can be resumed exactly.

    Attributes:
        widths: the width d of every site on offer.
        mean_squared_norms: E‖x‖² of each site over what was seen when it was estimated; the source says over what.
        card: what a run card says of the data: fingerprint, texts, what was left out.
    """

    @property
    def widths(self) -> Mapping[str, int]:
        """The width d of every site on offer."""
        ...

    @property
    def mean_squared_norms(self) -> Mapping[str, float]:
        """E‖x‖² at every site."""
        ...

    @property
    def card(self) -> dict[str, Any]:
        """What a run card says of the data."""
        ...

    def batch(self, size: int, sites: Sequence[str]) -> dict[str, Float[Tensor, "t d"]]:
        """The next `size` rows at these sites, in float32; starts over, newly shuffled, when all were given."""
        ...

    def state(self) -> dict[str, Any]:
        """Where the source stands: plain values and tensors, enough for `restore` to go on from here."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a state that an equal source gave."""
        ...


@runtime_checkable
class Shuffles(Protocol):
    """What can be read in shuffled batches, such as a store."""

    def shuffled(self, seed: int = 0, sites: Sequence[str] | None = None) -> BatchSource:
        """Its rows at these sites, at all where None, in an order that the seed decides."""
        ...
