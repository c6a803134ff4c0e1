"""A figure of variance explained, site by site: a dictionary beside what nobody trained."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from microtome.core.need import need
from microtome.evidence import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKERS = "os^Dvp"
WIDTH = 0.5  # of a site on the axis, over which its points are spread


def explained_figure(panels: Mapping[str, Mapping[str, Mapping[str, Estimate]]], y_label: str) -> "Figure":
    """A panel for each way to measure; in it, for each dictionary, a point a site with its interval.

    Args:
        panels: estimates by the panel's title, the dictionary's name and the site; the sites are the same in all.
        y_label: what is measured, and of what.

    Raises:
        MissingPackage: matplotlib is not installed.
    """
    plt = need("matplotlib.pyplot", extra="figures")
    figure, axes = plt.subplots(1, len(panels), figsize=(1 + 5 * len(panels), 4.5), sharey=True, layout="constrained",
                                squeeze=False)  # fmt: skip
    for axis, (title, dictionaries) in zip(axes[0], panels.items(), strict=True):
        sites = list(next(iter(dictionaries.values())))
        for i, (name, found) in enumerate(dictionaries.items()):
            shift = WIDTH * ((i + 0.5) / len(dictionaries) - 0.5)
            values = [found[site].value for site in sites]
            axis.errorbar([at + shift for at in range(len(sites))], values, yerr=_bars(found, sites), capsize=2,
                          fmt=MARKERS[i % len(MARKERS)], label=name)  # fmt: skip
        axis.set_title(title)
        axis.set_xticks(range(len(sites)), sites)
        axis.set_xlabel("site")
        axis.axhline(0, color="0.8", linewidth=0.8)
        axis.grid(axis="y", color="0.92")
    axes[0][0].set_ylabel(y_label)
    axes[0][-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _bars(found: Mapping[str, Estimate], sites: list[str]) -> list[list[float]]:
    """How far each interval reaches below and above its value; not at all where there is none."""
    ends = [(found[site].value, found[site].interval or (found[site].value,) * 2) for site in sites]
    return [[value - low for value, (low, _) in ends], [high - value for value, (_, high) in ends]]
