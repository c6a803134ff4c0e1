"""Figures made again: each runs, says what it found in numbers, and is drawn."""

from dataclasses import replace

import pytest
import torch

import microtome.toy.figures
import microtome.view.toys
from microtome.toy.figures import absolute, phases, uniform
from microtome.toy.reproduction import FIGURES, Row
from microtome.toy.superposition.absolute import Absolutes
from microtome.view.drawing import DRAWINGS

assert microtome.toy.figures
assert microtome.view.toys
NAMES = [entry.name for entry in FIGURES]
# So small that nothing is found; the shape of what comes is the same.
TINY = {
    "absolute": {"features": 6, "hidden": 3, "probabilities": (1.0, 0.1), "copies": 2},
    "adversarial": {"features": 10, "hidden": 3, "sparsities": 4, "turns": 2},
    "dynamics": {"features": 6, "hidden": 2, "seen": 30, "batch": 64},
    "introduction": {"copies": 2},
    "linear": {"features": 6, "hidden": 2, "probabilities": (1.0, 0.1), "copies": 2},
    "phases": {"side": 3, "copies": 2, "batch": 64},
    "scarce": {"features": 20, "points": (3, 5, 20, 50), "copies": 2},
    "sets": {"copies": 2},
    "uneven": {"ratios": 4, "copies": 2},
    "uniform": {"features": 12, "hidden": 3, "sparsities": 4, "batch": 64},
}


def test_there_is_a_drawing_for_each_figure():
    assert NAMES == [entry.name for entry in DRAWINGS] == sorted(TINY)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_made_and_drawn(name, tmp_path):
    figure = FIGURES.get(name)
    found = figure.run(replace(figure.quick, steps=40, **TINY[name]))
    for row in found.rows:
        assert isinstance(row, Row)
        assert any(letter.isdigit() for letter in row.here + row.claim)
    picture = tmp_path / "figure.png"
    DRAWINGS.get(name)(found.data).savefig(picture, dpi=50)
    assert picture.stat().st_size > 5_000
    assert figure.shrunk != ""


def test_axes_bear_their_names():
    for name in NAMES:
        figure = FIGURES.get(name)
        drawn = DRAWINGS.get(name)(figure.run(replace(figure.quick, steps=3, **(TINY[name] | (
            {"seen": 3} if name == "dynamics" else {})))).data)  # fmt: skip
        shown = [axes for axes in drawn.axes if axes.get_visible() and axes.get_label() != "<colorbar>"]
        assert all(axes.get_ylabel() for axes in shown), name
        assert all(axes.get_xlabel() for axes in shown if axes.get_subplotspec() is None or axes in shown[-1:]), name


def test_phases_are_told_by_which_features_are_kept():
    squared = torch.tensor([[1.0, 0.1], [0.6, 0.8], [0.2, 0.9], [0.1, 0.2]])
    assert phases.region(squared, 1).tolist() == [0, 1, 2, 0]


def test_chance_is_the_share_of_the_range_that_lies_near_a_fraction():
    assert uniform.covered(torch.tensor([0.5]), 0.0, 1.0) == pytest.approx(2 * uniform.NEAR, abs=1e-3)


def test_units_shared_unevenly_are_counted():
    first = torch.tensor([[2.0, 1.0, 1.0], [0.5, 1.0, 0.0]])[None]  # n u
    second = torch.tensor([[0.5, 2.0], [1.0, 1.0], [1.0, 0.0]])[None]
    networks = Absolutes(first, second, torch.zeros(1, 2))
    share, count = absolute.lopsided(networks)
    assert (share, count) == (0.5, 2)  # the third unit serves one feature
    assert absolute.signs(Absolutes(torch.tensor([[[1.0, -1.0]]]), torch.ones(1, 2, 1), torch.zeros(1, 1))) == 1
