"""What the suite says of each finder: figures with intervals over networks, beside their nulls."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from microtome.bench.circuits.finders import WEIGHTS
from microtome.bench.circuits.scoring import CELLS, FIGURES, LEVELS, RANDOM
from microtome.bench.circuits.suite import Score, Scores
from microtome.circuit.patching.patching import CONNECTED
from microtome.evidence import Measurement, Null, mean_interval

ENOUGH = 0.95


@dataclass(frozen=True)
class Standing:
    """One finder.

    Attributes:
        finder: its name.
        figures: by level and figure.
        controls: by level, the AUROC on networks with random weights, held to the truth of the others.
        solved: by level, networks on which both precision and recall reach 0.95 in the mean over seeds.
        faithfulness: of its edges, as many as are true, in the mean over networks; None without edges.
        seconds: a network, in the mean.
    """

    finder: str
    figures: dict[tuple[str, str], Measurement]
    controls: dict[str, float]
    solved: dict[str, tuple[str, ...]]
    faithfulness: Measurement | None
    seconds: float


def standings(scores: Scores) -> list[Standing]:
    """One for each finder, in the order of the suite."""
    return [_standing(scores, name) for name in scores.finders]


def _standing(scores: Scores, finder: str) -> Standing:
    own = [one for one in scores.scores if one.finder == finder]
    levels = [level for level in LEVELS if any(level in one.levels for one in own)]
    figures = {
        (level, figure): made
        for level in levels
        for figure in FIGURES
        if (made := _measured(scores, own, level, figure)) is not None
    }
    controls = {
        level: fmean(values)
        for level in levels
        if (
            values := [
                one.control[level]["auroc"] for one in own if one.control.get(level, {}).get("auroc") is not None
            ]
        )
    }
    solved = {level: tuple(_solved(own, level)) for level in levels}
    seconds = fmean(one.seconds for one in own)
    return Standing(finder, figures, controls, solved, _faithfulness(scores, own), seconds)


def _measured(scores: Scores, own: Sequence[Score], level: str, figure: str) -> Measurement | None:
    """The mean over networks, each averaged over seeds; those where it is undefined are left out and not counted."""
    values = by_network(own, level, figure)
    if not values:
        return None
    estimate = mean_interval(list(values.values()))
    low, high = estimate.interval or (0.0, 1.0)
    interval = None if estimate.interval is None else (max(low, 0.0), min(high, 1.0))  # no share lies outside
    nulls = [
        Null.against(name, estimate.value, draws)
        for name in (RANDOM, CELLS)
        if (draws := _draws(own, level, figure, name, scores.config.draws))
    ]
    magnitude = by_network([one for one in scores.scores if one.finder == WEIGHTS], level, figure)
    if own[0].finder != WEIGHTS and magnitude:
        nulls.append(Null.against(WEIGHTS, estimate.value, [fmean(magnitude.values())]))
    return Measurement(
        f"{figure} of {level}, {own[0].finder}", estimate.value, interval, 0.95, tuple(nulls), len(values), 0,
        "share" if figure != "auroc" else "probability",
    )  # fmt: skip


def _faithfulness(scores: Scores, own: Sequence[Score]) -> Measurement | None:
    """What edges keep, in the mean over networks, beside circuits of the same shape."""
    rows: dict[str, list[list[float]]] = {}
    for one in own:
        if one.faithfulness is not None:
            rows.setdefault(one.network, []).append(one.faithfulness)
    if not rows:
        return None
    means = [[fmean(column) for column in zip(*of_network, strict=True)] for of_network in rows.values()]
    value, *draws = (fmean(column) for column in zip(*means, strict=True))
    interval = mean_interval([row[0] for row in means]).interval
    null = Null.against(CONNECTED, value, draws)
    return Measurement("faithfulness", value, interval, 0.95, (null,), len(means), 0, "share of the answer")


def by_network(own: Sequence[Score], level: str, figure: str) -> dict[str, float]:
    """A figure of each network where it is defined, in the mean over seeds."""
    found: dict[str, list[float]] = {}
    for one in own:
        if level in one.levels and (value := one.levels[level]["figures"][figure]) is not None:
            found.setdefault(one.network, []).append(value)
    return {network: fmean(values) for network, values in found.items()}


def _draws(own: Sequence[Score], level: str, figure: str, null: str, draws: int) -> list[float]:
    """The same mean over all of them, draw by draw."""
    told = [one.levels[level]["nulls"][null][figure] for one in own if level in one.levels]
    rows = [[row[i] for row in told if row[i] is not None] for i in range(draws)]
    return [fmean(row) for row in rows if row]


def _solved(own: Sequence[Score], level: str) -> list[str]:
    exact, whole = by_network(own, level, "precision"), by_network(own, level, "recall")
    return [network for network, value in whole.items() if min(value, exact.get(network, 0.0)) >= ENOUGH]
