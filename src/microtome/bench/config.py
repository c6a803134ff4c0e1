"""Settings of a measurement."""

from dataclasses import dataclass

from microtome.core.config import Config
from microtome.core.errors import WrongUse


@dataclass(frozen=True)
class MeasureConfig(Config):
    """How a dictionary is measured.

    Attributes:
        baselines: names of those that are made on the spot, at the dictionary's own mean L0, where it stands at one
            site; each is a null of one draw with an interval over documents.
        fitted_on: tokens from which baselines take their means and components.
        ordinary: a token counts as ordinary up to this multiple of the median norm; figures are given of all tokens
            and of ordinary ones, since a few enormous ones may own the variance.
        dense_above: share of tokens from which on a unit counts as dense.
        batch: tokens at once.
        n_texts: texts that the model reads for the cross-entropy, or all.
        context: tokens of each.
        probe_units: of how many units a probe for a concept may read, each measured on its own.
        n_labelled: labelled texts of a concept, as many of both classes.
        draws: of shuffled labels.
        level: of intervals.
        seed: of random directions, of what is split and drawn, and of intervals.
    """

    baselines: tuple[str, ...] = ("pca", "random", "neurons")
    fitted_on: int = 65_536
    ordinary: float = 10.0
    dense_above: float = 0.1
    batch: int = 4096
    n_texts: int = 64
    context: int = 128
    probe_units: tuple[int, ...] = (1, 5)
    n_labelled: int = 400
    draws: int = 99
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("fitted_on", "batch", "n_texts", "context", "n_labelled", "draws"):
            if getattr(self, name) < 1:
                raise WrongUse("measure a dictionary", found=f"{name} = {getattr(self, name)}", do="give at least 1")
        if not (0 < self.level < 1 and self.ordinary > 0):
            found = f"level {self.level}, ordinary {self.ordinary}"
            raise WrongUse("measure a dictionary", found=found, do="give 0 < level < 1 and ordinary > 0")
