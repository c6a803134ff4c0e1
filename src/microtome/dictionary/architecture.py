"""What an architecture is: how units become active, and what their training minimises.

Where units read and write is not its business: each makes SAEs, transcoders, crosscoders and CLTs alike.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from microtome.core.checking import check_kinds
from microtome.core.config import Config
from microtome.core.registry import Registry
from microtome.dictionary.codes import Picks
from microtome.dictionary.units import Units

if TYPE_CHECKING:
    from microtome.dictionary.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Active:
    """What units of one block do on a batch.

    Attributes:
        units: the block.
        picks: the places that were looked at.
        pre: before the activation, `[n]`.
        values: after it, `[n]`; zeros may be among them.
    """

    units: Units
    picks: Picks
    pre: Float[Tensor, "n"]
    values: Float[Tensor, "n"]

    @property
    def firing(self) -> Bool[Tensor, "n"]:
        """Which places are active; signed units are so below zero too."""
        return self.values.detach() != 0


@dataclass(frozen=True, eq=False)
class Moment:
    """Where a training run stands.

    Attributes:
        ramp: in [0, 1], what penalties are multiplied by while they warm up.
        dead: for each block, which units have not fired within the window, `[u]`.
    """

    ramp: float
    dead: tuple[Bool[Tensor, "u"], ...]


@dataclass(frozen=True, eq=False)
class Seen:
    """A batch, and what a dictionary made of it.

    Attributes:
        x: inputs, `[t, r, d]`.
        y: what is to be reconstructed, `[t, w, d]`.
        active: what each block's units did.
        y_hat: the reconstruction, `[t, w, d]`.
        moment: where the run stands.
    """

    x: Float[Tensor, "t r d"]
    y: Float[Tensor, "t w e"]
    active: tuple[Active, ...]
    y_hat: Float[Tensor, "t w e"]
    moment: Moment


@dataclass(frozen=True, eq=False)
class Outcome:
    """One batch as training sees it.

    Attributes:
        terms: the loss's parts by name, each a mean over tokens; their sum is minimised.
        active: what each block's units did.
        y_hat: the reconstruction, `[t, w, d]`.
    """

    terms: dict[str, Float[Tensor, ""]]
    active: tuple[Active, ...]
    y_hat: Float[Tensor, "t w d"]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """The sum of its terms."""
        return torch.stack(list(self.terms.values())).sum()


@dataclass(frozen=True)
class Architecture(Config, ABC):
    """Settings of one architecture, and what it does with a block of units.

    Written once for every geometry: `x` comes to a block as the block reads it, `[t, r·d]`.

    Attributes:
        name: in the registry.
        signed: whether activations may lie below zero.
        by_token: whether in training, too, a token's activations and its part of the loss depend on that token alone,
            while many units may be active: a batch is then learned from in parts, so that memory stays bounded.
    """

    name: ClassVar[str]
    signed: ClassVar[bool] = False
    by_token: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_kinds(self, self.asked)

    @property
    def asked(self) -> str:
        """What is to be made with these settings, for messages."""
        return f"make a dictionary of the architecture {self.name!r}"

    def check(self, n_units: int) -> None:
        """Refuses settings that so many units in a block cannot have.

        Raises:
            WrongUse: they cannot.
        """

    @classmethod
    @abstractmethod
    def tiny(cls) -> "Architecture":
        """Settings for tests, of its own hard case, with 32 units."""

    def extras(self, n_units: int) -> dict[str, Tensor]:
        """Parameters beyond encoder, bias and decoder, at their start; scalars are not trained by gradients."""
        return {}

    @abstractmethod
    def activate(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """What the units do on inputs: the inference pass. A token's activations depend on that token alone."""

    def fit(self, units: Units, x: Float[Tensor, "t d"], shift: Float[Tensor, "d"] | None) -> Active:
        """The same while training, where it may depend on the batch."""
        return self.activate(units, x, shift)

    def terms(self, dictionary: "Dictionary", seen: Seen) -> dict[str, Float[Tensor, ""]]:
        """Loss terms beside the reconstruction's, each a mean over tokens."""
        return {}

    def outcome(
        self, dictionary: "Dictionary", x: Float[Tensor, "t r d"], y: Float[Tensor, "t w e"], moment: Moment
    ) -> Outcome:
        """The loss on a batch: squared error summed over d and sites, averaged over tokens, and the other terms."""
        active = tuple(self.fit(*given) for given in dictionary.given(x))
        y_hat = dictionary.written([(one.units, one.picks, one.values) for one in active], x)
        terms = self.terms(dictionary, Seen(x, y, active, y_hat, moment))
        return Outcome({"reconstruction": squared_error(y_hat, y), **terms}, active, y_hat)

    def line(self, units: Units, ids: Int[Tensor, "n"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
        """Where units are active, activation = factor · (read vector · input) + constant: both, for each."""
        constant = units.b_enc[ids]
        return torch.ones_like(constant), constant

    def rescaled(self, extras: dict[str, Tensor], factor: Float[Tensor, "u"]) -> dict[str, Tensor]:
        """What becomes of a block's further parameters where each unit's activations grow by a factor."""
        return extras

    def of_unit_length(self) -> "Architecture":
        """The same architecture for units whose write vectors' lengths were folded into their activations."""
        return self

    def settle(self, outcome: Outcome) -> None:
        """Updates what gradients do not train, after a step."""


def squared_error(y_hat: Float[Tensor, "t w d"], y: Float[Tensor, "t w d"]) -> Float[Tensor, ""]:
    """Squared distance over d and sites, averaged over tokens."""
    return torch.nn.functional.mse_loss(y_hat, y, reduction="sum") / len(y)


ARCHITECTURES: Registry[type[Architecture]] = Registry("architecture", folder="microtome.dictionary.architectures")
