"""The figure of a scaling law shows every row once, and the law within and beyond the sweep."""

import pytest

from microtome.train.scaling_laws import SweepRow, fit
from microtome.view.scaling_figure import scaling_figure


def rows() -> list[SweepRow]:
    return [
        SweepRow(units, k, 1e6, 1e9, 0.1 + (2 + i) * units**-0.4)
        for units in (1e3, 4e3, 2e4, 1e5)
        for i, k in enumerate((8.0, 32.0))
    ]


def test_points_are_the_sweep_and_curves_the_law(tmp_path):
    law = fit(rows()[::2], "units")
    (axes,) = scaling_figure(law).axes
    points, inside, beyond = axes.lines
    assert points.get_xydata().tolist() == [[row.units, row.loss] for row in rows()[::2]]
    for line, style in ((inside, "-"), (beyond, "--")):
        assert line.get_linestyle() == style
        x, y = line.get_xydata()[17]
        assert y == pytest.approx(law.loss(units=float(x)))
    assert inside.get_xdata()[-1] == beyond.get_xdata()[0] == 1e5
    figure = scaling_figure(law)
    figure.savefig(tmp_path / "law.png")
    assert (tmp_path / "law.png").stat().st_size > 5000


def test_a_second_column_gets_a_curve_for_each_value():
    (axes,) = scaling_figure(fit(rows(), "units and k")).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["8", "32"]
    assert len(axes.lines) == 6
