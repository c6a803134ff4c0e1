"""The figure of variance explained: what is drawn is what was given, and its axes say what they are."""

import pytest

from microtome.evidence import Estimate
from microtome.view.explained import explained_figure

pytest.importorskip("matplotlib").use("Agg")
SITES = ("resid.7", "resid.15")


def test_every_value_and_interval_is_drawn_and_every_axis_named():
    given = {
        "trained": {"resid.7": Estimate(0.8, (0.75, 0.9)), "resid.15": Estimate(0.7, (0.65, 0.72))},
        "PCA": {"resid.7": Estimate(0.4, (0.3, 0.5)), "resid.15": Estimate(0.2, None)},
    }
    figure = explained_figure({"without": given, "with": given}, "variance explained at L0 = 32")
    assert [axis.get_title() for axis in figure.axes] == ["without", "with"]
    assert figure.axes[0].get_ylabel() == "variance explained at L0 = 32"
    for axis in figure.axes:
        assert axis.get_xlabel() == "site"
        assert [label.get_text() for label in axis.get_xticklabels()] == list(SITES)
        assert [drawn.get_label() for drawn in axis.containers] == ["trained", "PCA"]
        for (line, _, (bars,)), (name, found) in zip(axis.containers, given.items(), strict=True):
            assert line.get_ydata().tolist() == [found[site].value for site in SITES], name
            ends = [tuple(segment[:, 1]) for segment in bars.get_segments()]
            wanted = [found[site].interval or (found[site].value,) * 2 for site in SITES]
            assert ends == [pytest.approx(one) for one in wanted]
    legend = figure.axes[-1].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["trained", "PCA"]
