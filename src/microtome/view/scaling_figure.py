"""A scaling law as a figure: the sweep's losses, the fitted curves, and where the sweep ends."""

from typing import TYPE_CHECKING, Any

import numpy as np

from microtome.core.need import need
from microtome.train.scaling_laws import FORMS, ScalingLaw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEYOND = 4.0  # how far past the sweep a curve is drawn, dashed
CURVES = 6  # of the second column, at most


def scaling_figure(law: ScalingLaw) -> "Figure":
    """Loss against the law's first column, in logarithms; a curve for each value of its second, if it has one.

    Curves are dashed beyond the sweep, where the law is a guess. Needs the extra `figures`.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    figure = need("matplotlib.figure", extra="figures").Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    first, *rest = FORMS[law.form].reads
    rows = [row.to_dict() for row in law.rows]
    values = sorted({row[rest[0]] for row in rows}) if rest else [None]
    shown = [values[i] for i in np.unique(np.linspace(0, len(values) - 1, CURVES).round().astype(int))]
    for number, value in enumerate(shown):
        own = [row for row in rows if not rest or row[rest[0]] == value]
        held = {rest[0]: value} if rest else {}
        _curve(axes, law, first, own, held, f"C{number}")
    axes.set(xscale="log", yscale="log", xlabel=first, ylabel="loss", title=FORMS[law.form].text)
    axes.title.set_fontsize("small")
    if rest:
        axes.legend(title=rest[0], fontsize="small", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _curve(
    axes: Any, law: ScalingLaw, first: str, rows: list[dict[str, Any]], held: dict[str, Any], colour: str
) -> None:
    label = f"{next(iter(held.values())):,g}" if held else None
    axes.plot([row[first] for row in rows], [row["loss"] for row in rows], "o", color=colour, markersize=4, label=label)
    low, high = law.ranges[first]
    for start, end, style in ((low, high, "-"), (high, BEYOND * high, "--")):
        x = np.geomspace(start, end, 64)
        axes.plot(x, [law.loss(**{first: float(one)}, **held) for one in x], style, color=colour, linewidth=1)
