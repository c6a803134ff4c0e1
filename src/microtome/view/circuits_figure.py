"""The figure of known circuits: how well every method ranks what is true, level by level, beside its nulls."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from microtome.bench.circuits.finders import WEIGHTS
from microtome.bench.circuits.scoring import CELLS, LEVELS, RANDOM
from microtome.bench.circuits.standings import Standing
from microtome.evidence import Measurement
from microtome.view.drawing import canvas, plain
from microtome.view.palette import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NULLS = {RANDOM: ("s", GREY), CELLS: ("D", ORANGE), WEIGHTS: ("^", GREEN)}
WIDTH, HEIGHT = 3.2, 3.4  # of a panel, in inches


def circuits_figure(found: Sequence[Standing]) -> "Figure":
    """A panel for each level, a line for each method: its AUROC with an interval over networks, and its nulls'.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    shown = [level for level in LEVELS if any((level, "auroc") in one.figures for one in found)]
    figure, rows = canvas(1, len(shown), WIDTH, HEIGHT)
    names = [one.finder for one in found]
    for axes, level in zip(rows[0], shown, strict=True):
        for at, one in enumerate(found):
            if made := one.figures.get((level, "auroc")):
                _line(axes, made, float(at))
        axes.set_title(level, fontsize="medium")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0.28, 1.04)
        axes.set_xlabel("AUROC (0.5: by chance)")
        axes.grid(axis="x", color="0.92")
        plain(axes)
    for axes in rows[0][1:]:
        axes.tick_params(labelleft=False)
    looks = {"method, 95% over networks": ("o", BLUE), **NULLS}
    handles = [rows[0][0].plot([], [], marker, color=colour, label=name)[0] for name, (marker, colour) in looks.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(looks), frameon=False, fontsize="small")
    return figure


def _line(axes: "Axes", made: Measurement, at: float) -> None:
    low, high = made.interval or (made.value, made.value)
    axes.plot([low, high], [at, at], "-", color=BLUE, linewidth=1.5)
    for null in made.nulls:
        marker, colour = NULLS[null.name]
        axes.plot([null.mean], [at], marker, color=colour, markersize=4)
    axes.plot([made.value], [at], "o", color=BLUE, markersize=5)
