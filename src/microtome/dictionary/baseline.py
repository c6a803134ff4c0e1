"""Baselines: dictionaries that nobody trained, against which a trained one is measured.

Each is made for a geometry and a sparsity, so that it differs from a trained dictionary in its units alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from microtome.core.artefact import RunCard
from microtome.core.errors import WrongUse
from microtome.core.registry import Registry
from microtome.dictionary.architecture import Architecture
from microtome.dictionary.dictionary import Dictionary
from microtome.dictionary.geometry import Geometry
from microtome.dictionary.saving import FORMAT, KIND


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a baseline is made for. Each takes what it needs of it.

    Attributes:
        geometry: where it stands, and how many units it may have.
        k: active units a token, as many as the dictionary that it is held against; None for all of them.
        seed: of random vectors.
        x: activations at the site, `[t, d]`.
        vector: a direction at the site, as wide as it.
        bias: added to what the direction reads.
        architecture: how trained units become active.
    """

    geometry: Geometry
    k: int | None = None
    seed: int = 0
    x: Float[Tensor, "t d"] | None = None
    vector: Float[Tensor, "e"] | None = None
    bias: float = 0.0
    architecture: Architecture | None = None

    def one_site(self, name: str) -> tuple[str, int]:
        """The site that the units read and write, and its width.

        Raises:
            WrongUse: the geometry is another; such directions say nothing of what one site makes of another.
        """
        if not (self.geometry.autoencodes and len(self.geometry.reads) == 1):
            raise WrongUse(
                f"make the baseline {name!r}",
                found=f"units that read {_named(self.geometry.reads)} and write {_named(self.geometry.writes)}",
                do="give a geometry of one site, such as sae('resid.15', d, units)",
            )
        return self.geometry.reads[0], self.geometry.d_in

    def activations(self, name: str) -> Float[Tensor, "t d"]:
        """Those given.

        Raises:
            WrongUse: there are none, too few, or they are of another width.
        """
        d = self.geometry.d_in
        if self.x is None or self.x.shape[1] != d or len(self.x) < 2:
            found = "no activations" if self.x is None else f"activations of shape {list(self.x.shape)}"
            raise WrongUse(f"make the baseline {name!r}", found=found, do=f"give x=, several tokens of width {d}")
        return self.x


Baseline = Callable[[Wanted], Dictionary]
BASELINES: Registry[Baseline] = Registry("baseline", folder="microtome.dictionary.baselines")


def baseline(name: str, geometry: Geometry, **wanted: Any) -> Dictionary:
    """Makes a baseline by its name, with a card that says how.

    Args:
        name: see `microtome list baseline`.
        geometry: where it stands.
        **wanted: k, seed, x, vector, bias, architecture: see `Wanted`.

    Raises:
        UnknownName: no baseline has this name.
        WrongUse: it needs something that was not given, or has no meaning for this geometry.
    """
    asked = Wanted(geometry, **wanted)
    made = BASELINES.get(name)(asked)
    config = {"baseline": name, "k": asked.k, "tokens": None if asked.x is None else len(asked.x)}
    made.card = RunCard(KIND, FORMAT, asked.seed, config)
    return made


def beside(dictionary: Dictionary, name: str, **wanted: Any) -> Dictionary:
    """A baseline where a dictionary stands, with as many units at most, and trained (if at all) as it was.

    Args:
        dictionary: what it is held against.
        name: of the baseline.
        **wanted: as for `baseline`; `k` is best the number of units that the dictionary uses on average.

    Raises:
        UnknownName, WrongUse: as for `baseline`.
    """
    return baseline(name, dictionary.geometry, **{"architecture": dictionary.architecture, **wanted})


def _named(sites: tuple[str, ...]) -> str:
    return ", ".join(sites[:3]) + (", …" if len(sites) > 3 else "")
