"""Figures of planted dictionaries: every architecture against the truth, its nulls beside it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microtome.bench.planted.scoring import Scores
from microtome.bench.planted.verdicts import Figure, estimate
from microtome.bench.planted.ways import NULLS
from microtome.evidence.intervals import Estimate
from microtome.view.drawing import canvas, plain
from microtome.view.palette import BLUE, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawn

CHANCE = {"absorbed": "absorbed_by_chance"}  # a null that each architecture has of its own
WIDTH, HEIGHT = 2.5, 2.9  # of a panel, in inches


def planted_figure(scores: Scores, figures: Sequence[Figure], kinds: Sequence[str] | None = None) -> "Drawn":
    """A row for each figure, a column for each kind; in each a line an architecture, and under them a line a null.

    Args:
        scores: of the suite.
        figures: that are drawn.
        kinds: of activations; all by default.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    kinds = tuple(kinds or scores.config.kinds)
    rows = [[(one, kind) for kind in kinds] for one in figures]
    if len(kinds) == 1:  # side by side
        rows = [[cell for row in rows for cell in row]]
    figure, grid = canvas(len(rows), len(rows[0]), WIDTH, HEIGHT)
    labelled = {}
    for row, cells in zip(grid, rows, strict=True):
        for axes, (one, kind) in zip(row, cells, strict=True):
            _panel(axes, scores, kind, one)
            axes.set_title(kind, fontsize="medium")
            axes.tick_params(labelleft=len(kinds) == 1 or axes is row[0])
            labelled |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    seeds, level = scores.config.seeds, scores.config.level
    figure.legend(labelled.values(), labelled, loc="outside lower center", ncols=len(labelled), frameon=False,
                  title=f"mean over {seeds} seeds, {100 * level:g}% intervals", fontsize="small",
                  title_fontsize="small")  # fmt: skip
    return figure


def _panel(axes: "Axes", scores: Scores, kind: str, figure: Figure) -> None:
    ways = scores.architectures + (() if figure.name in CHANCE else NULLS)
    for at, way in enumerate(ways):
        is_null = way in NULLS
        colour, marker = (GREY, "s") if is_null else (BLUE, "o")
        label = None if at not in (0, len(scores.architectures)) else "null" if is_null else "architecture"
        _point(axes, estimate(scores, kind, way, figure.name), float(at), (colour, marker), label)
        if figure.name in CHANCE:
            chance = estimate(scores, kind, way, CHANCE[figure.name])
            _point(axes, chance, at + 0.3, (ORANGE, "D"), None if at else "by chance")
    axes.set_yticks(range(len(ways)), ways)
    axes.set_ylim(len(ways) - 0.4, -0.6)
    axes.set_xlim(-0.04, 1.04)
    axes.set_xlabel(figure.words)
    axes.grid(axis="x", color="0.92")
    plain(axes)


def _point(axes: "Axes", found: Estimate | None, at: float, look: tuple[str, str], label: str | None) -> None:
    """Nothing where no seed defines the figure; an interval is cut where a share cannot lie."""
    if found is None:
        axes.plot([], [], color=look[0], marker=look[1], markersize=4, linestyle="none", label=label)
        return
    low, high = (min(max(end, 0.0), 1.0) for end in found.interval or (found.value, found.value))
    axes.plot([low, high], [at, at], "-", color=look[0], linewidth=1.5)
    axes.plot([found.value], [at], color=look[0], marker=look[1], markersize=4, linestyle="none", label=label)
