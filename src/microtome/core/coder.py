"""What an edit needs of a dictionary, for rooms that know models and no dictionaries.

Tensors are those that pass through a model's sites: `b` rows, `p` positions, `n` units that were named.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

Read = Mapping[str, Float[Tensor, "b p _"]]
"""Sites by name, as far as a pass has come: units of a block whose sites are not among them are not known yet."""


@runtime_checkable
class Coder(Protocol):
    """Units that read sites of a model and write others."""

    @property
    def n_units(self) -> int:
        """How many there are."""
        ...

    @property
    def writes(self) -> tuple[str, ...]:
        """Sites that they write."""
        ...

    def needs(self, site: str, units: Sequence[int] | None = None) -> tuple[str, ...]:
        """Sites that must be known to say what units write at a site; none where they do not write there.

        Args:
            site: one that is written.
            units: which; None for the whole reconstruction.
        """
        ...

    def encode(self, units: Sequence[int], read: Read) -> Float[Tensor, "b p n"]:
        """Activations of units; zero where what they read is not known."""
        ...

    def decode(
        self, site: str, units: Sequence[int], activations: Float[Tensor, "b p n"], read: Read
    ) -> Float[Tensor, "b p e"]:
        """What units of these activations write at a site, nothing else with it."""
        ...

    def reconstruct(self, site: str, read: Read) -> Float[Tensor, "b p e"]:
        """The reconstruction of a site."""
        ...


@runtime_checkable
class HasCoder(Protocol):
    """Whatever has units that can be edited: every `Dictionary`."""

    @property
    def coder(self) -> Coder:
        """Its units as an edit sees them."""
        ...
