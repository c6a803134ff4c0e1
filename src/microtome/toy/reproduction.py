"""Figures of papers, made again: what was found there, what is found here, and whether the two agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from jaxtyping import Float
from scipy.stats import pearsonr, rankdata
from torch import Tensor

from microtome.core.config import Config
from microtome.core.registry import Registry

Settings = TypeVar("Settings", bound=Config)


@dataclass(frozen=True)
class Row(Config):
    """One claim.

    Attributes:
        claim: what it is about, in a few words.
        paper: what the paper found.
        here: what this run found, with its numbers.
        agrees: whether they agree, by a rule that stands in the code and not in the eye.
    """

    claim: str
    paper: str
    here: str
    agrees: bool


@dataclass(frozen=True)
class Found:
    """What making a figure gave.

    Attributes:
        data: what is drawn, a frozen dataclass of the figure's own.
        rows: its claims.
    """

    data: Any
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Figure(Generic[Settings]):
    """A figure that can be made again.

    Attributes:
        title: over it.
        source: where it is from.
        run: makes it.
        quick, full: settings that take well under a minute on two cores, and those that may take an hour of one: the
            size of the paper where that is enough, ours where it gives none.
        paper: its own, where they are larger still.
    """

    title: str
    source: str
    run: Callable[[Settings], Found]
    quick: Settings
    full: Settings
    paper: Settings | None = None

    def made(self, *, full: bool = False) -> Found:
        """Makes it, by one or the other settings."""
        return self.run(self.full if full else self.quick)

    def shrunk(self, *, full: bool = False) -> str:
        """What the quick settings make smaller, or the full ones, in words; empty where nothing is."""
        if full:
            return _smaller("in the paper", self.full, self.paper or self.full)
        return _smaller("with `--full`", self.quick, self.full)


def _smaller(than: str, small: Config, large: Config) -> str:
    here, there = small.to_dict(), large.to_dict()
    differ = [f"{name} {_short(here[name])} for {_short(there[name])}" for name in here if here[name] != there[name]]
    return f"Smaller than {than}: {', '.join(differ)}." if differ else ""


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value)} values from {value[0]:g} to {value[-1]:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def rank_correlation(a: Float[Tensor, " n"], b: Float[Tensor, " n"]) -> tuple[float, float]:
    """Spearman's, and its p-value."""
    found = pearsonr(rankdata(a.numpy()), rankdata(b.numpy()))
    return float(found.statistic), float(found.pvalue)  # pyright: ignore[reportAttributeAccessIssue] - no stubs


FIGURES: Registry[Figure[Any]] = Registry("figure", folder="microtome.toy.figures")
