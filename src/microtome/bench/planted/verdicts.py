"""What the scores amount to: figures beside their nulls, and where architectures differ by more than another seed."""

from dataclasses import dataclass
from itertools import combinations

from microtome.bench.comparing import Comparison, judged
from microtome.bench.planted.scoring import Scores
from microtome.bench.planted.ways import NULLS
from microtome.evidence.false_discovery import benjamini_hochberg
from microtome.evidence.intervals import Estimate, mean_interval
from microtome.evidence.measurement import Measurement
from microtome.evidence.null import Null

CHANCE = "parents' units as silent beside a child as without"


@dataclass(frozen=True)
class Figure:
    """A figure of `Recovery` that is offered as evidence.

    Attributes:
        name: of its field.
        words: as it reads in a sentence.
        more: what the way with the larger figure does.
        best: 1 where more is better, 0 where less is.
    """

    name: str
    words: str
    more: str
    best: float = 1.0


MATCHED = Figure("matched_cosine", "matched cosine", "has the larger matched cosine")
RECOVERED = Figure("recovered_fraction", "recovered fraction", "recovers more features")
ABSORBED = Figure("absorbed", "absorption", "absorbs more", 0.0)
SPLIT = Figure("parents_split", "split parents", "splits more parents", 0.0)
FIGURES = (MATCHED, RECOVERED, ABSORBED, SPLIT)


@dataclass(frozen=True)
class Standing:
    """An architecture on one kind of activations.

    Attributes:
        kind, architecture: which.
        figures: by name, over seeds, each beside its nulls; without those that no truth, or too few seeds, define.
            Absorption and splitting are no merits: to beat a null there is to show that they are real.
    """

    kind: str
    architecture: str
    figures: dict[str, Measurement]


@dataclass(frozen=True)
class Pair:
    """Two architectures on one kind of activations, by one figure.

    Attributes:
        kind, figure, a, b: which.
        comparison: Welch's, over seeds.
        adjusted: its p-value, adjusted over all pairs of architectures on all kinds by this figure.
        differs: whether that is at most 1 − level; if not, the two are not ranked.
    """

    kind: str
    figure: str
    a: str
    b: str
    comparison: Comparison
    adjusted: float
    differs: bool


@dataclass(frozen=True)
class Verdicts:
    """All of a suite.

    Attributes:
        standings: of each architecture on each kind.
        pairs: of architectures.
    """

    standings: tuple[Standing, ...]
    pairs: tuple[Pair, ...]

    def differing(self, kind: str, figure: str) -> list[Pair]:
        """Pairs that differ beyond reseed noise."""
        return [one for one in self.pairs if (one.kind, one.figure) == (kind, figure) and one.differs]


def verdicts(scores: Scores) -> Verdicts:
    """Measurements and pairs of all architectures."""
    standings = [
        Standing(kind, name, {one.name: made for one in FIGURES if (made := measured(scores, kind, name, one))})
        for kind in scores.config.kinds
        for name in scores.architectures
    ]
    return Verdicts(tuple(standings), tuple(pair for figure in FIGURES for pair in _pairs(scores, figure)))


def estimate(scores: Scores, kind: str, way: str, figure: str) -> Estimate | None:
    """Mean over seeds with Student's t interval (BCa from 8 seeds on); None where no seed defines it."""
    values = scores.of(kind, way, figure)
    return mean_interval(values, scores.config.level) if values else None


def measured(scores: Scores, kind: str, name: str, figure: Figure) -> Measurement | None:
    """A figure over seeds beside every null, with Welch's interval of the advantage; None in fewer than two seeds."""
    own, level = scores.of(kind, name, figure.name), scores.config.level
    if len(own) < 2:
        return None
    found = mean_interval(own, level)
    nulls = []
    for null, draws in _draws(scores, kind, name, figure).items():
        if len(draws) >= 2:
            beside = judged(own, draws, level=level).difference.interval
            nulls.append(Null.against(null, found.value, draws, effect_interval=beside))
    if not nulls:
        return None
    words = f"{figure.words} of {name} ({kind})"
    return Measurement(words, found.value, found.interval, level, tuple(nulls), len(own), None, "share, over seeds")


def _draws(scores: Scores, kind: str, name: str, figure: Figure) -> dict[str, list[float]]:
    if figure == ABSORBED:
        return {CHANCE: scores.of(kind, name, "absorbed_by_chance")}
    return {null: scores.of(kind, null, figure.name) for null in NULLS}


def _pairs(scores: Scores, figure: Figure) -> list[Pair]:
    level, found = scores.config.level, []
    for kind in scores.config.kinds:
        for a, b in combinations(scores.architectures, 2):
            values = scores.of(kind, a, figure.name), scores.of(kind, b, figure.name)
            if min(map(len, values)) >= 2:
                found.append((kind, a, b, judged(*values, level=level, name=figure.words, more=figure.more)))
    adjusted = benjamini_hochberg([one[-1].p_value for one in found]) if found else []
    return [
        Pair(kind, figure.name, a, b, comparison, float(p), bool(p <= 1 - level))
        for (kind, a, b, comparison), p in zip(found, adjusted, strict=True)
    ]
