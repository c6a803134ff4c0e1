"""Figures made again: each runs, says what it found in numbers, and is drawn."""

from dataclasses import replace

import pytest
import torch

from microtome.core.errors import UnknownName, WrongUse
from microtome.core.registry import Registry
from microtome.report import reproduced
from microtome.toy.figures import absolute, dynamics, linear, phases, polytopes, scarce, uniform
from microtome.toy.reproduction import FIGURES, Row
from microtome.toy.superposition.absolute import Absolutes
from microtome.toy.superposition.analytic import polygon
from microtome.toy.superposition.geometry import Shape, dimensionality, shapes
from microtome.view import interference
from microtome.view.drawing import DRAWINGS

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
    "polytopes": {"copies": 2, "batch": 64},
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
    assert " for " in figure.shrunk()
    assert (" for " in figure.shrunk(full=True)) is (figure.paper is not None)
    assert replace(figure, full=figure.quick).shrunk() == ""


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


def test_a_model_that_has_learned_nothing_sticks_nowhere():
    p, nothing = torch.tensor([1.0, 0.5]), torch.full((2, 3), torch.nan)
    found = uniform.rows(uniform.Data(p, torch.tensor([9.0, 9.0]), nothing, torch.zeros(2, 3, 1), ((), ())))
    assert not any(row.agrees for row in found)
    assert any(row.here.startswith("0% within") for row in found)


def test_chance_is_the_share_of_the_range_that_lies_near_a_fraction():
    assert uniform.covered(torch.tensor([0.5]), 0.0, 1.0) == pytest.approx(2 * uniform.NEAR, abs=1e-3)


def path(*lines: list[float], kept: list[bool]) -> dynamics.Data:
    """Features' dimensionalities while a model learned."""
    each = torch.tensor(lines).T
    steps = len(each)
    return dynamics.Data(tuple(range(steps)), torch.linspace(2, 1, steps), each, torch.tensor(kept))


def test_a_jump_is_told_from_steady_steps_whatever_the_jitter():
    steady, late = torch.linspace(0, 0.5, 101).tolist(), [0.0] * 60 + [0.5] * 41
    jitter = [0.01 * (i % 2) for i in range(101)]
    assert "makes 10% of its way" in dynamics.jumps(path(steady, kept=[True])).here
    assert not dynamics.jumps(path(steady, kept=[True])).agrees
    shaken = [a + b for a, b in zip(late, jitter, strict=True)]
    assert dynamics.jumps(path(shaken, jitter, kept=[True, False])).agrees
    assert not dynamics.jumps(path(jitter, kept=[False])).agrees  # nothing is kept, so nothing jumped


def test_a_longer_run_says_the_same_of_falls_and_jumps():
    random = torch.Generator().manual_seed(0)
    moved = torch.rand(100, generator=random).cumsum(0)
    way = 0.5 * torch.cat([moved / moved[-1], torch.ones(900)])
    losses = 2 - way + 1e-5 * torch.randn(1000, generator=random)  # what is left of it later is noise alone
    long = dynamics.Data(tuple(range(1000)), losses, way[:, None], torch.tensor([True]))
    short = dynamics.Data(tuple(range(120)), losses[:120], way[:120, None], torch.tensor([True]))
    assert dynamics.settled(long) == dynamics.settled(short) < 100
    assert dynamics.falls(long) == dynamics.falls(short)
    assert dynamics.falls(long).agrees


def test_features_end_at_their_levels():
    assert dynamics.levels(path([0.1, 0.5], [0.1, 0.0], kept=[True, False])).agrees
    assert not dynamics.levels(path([0.1, 0.4], [0.1, 0.0], kept=[True, False])).agrees


def test_inputs_learned_by_heart_have_directions_of_their_own():
    assert scarce.narrowest(polygon(5)) == pytest.approx(72, abs=0.01)
    assert scarce.narrowest(torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.0]])) == pytest.approx(11.42, abs=0.01)


def test_a_count_that_falls_is_held_against_what_came_before():
    assert linear.falls([5, 6, 9]) == 0
    assert linear.falls([5, 13, 12, 14, 11]) == 3


def test_a_shape_is_one_part_with_even_dimensionalities():
    five = polygon(5)
    made = polytopes.Made("pentagon", 0.1, five, dimensionality(five[None])[0], True)
    assert polytopes.row(made).agrees
    assert "D from 0.400 to 0.400" in polytopes.row(made).here
    assert not polytopes.row(replace(made, whole=False)).agrees
    assert not polytopes.row(replace(made, dimensionality=made.dimensionality + 0.03)).agrees


def test_parts_of_the_graph_lie_apart_and_in_their_colours():
    pair, five = torch.tensor([[1.0], [-1.0]]), polygon(5)
    weights = torch.block_diag(five, pair)
    found = shapes(weights)
    assert [one.name for one in found] == ["pentagon", "antipodal pair"]
    assert len({interference.colour(one) for one in found}) == 2
    assert interference.colour(Shape(tuple(range(9)), 4)) == interference.GREY
    at = torch.tensor([interference.places(found)[i] for i in range(7)])
    apart = torch.cdist(at, at).fill_diagonal_(9)
    assert float(apart.min()) == pytest.approx(1.0, abs=1e-4)
    assert float(torch.cdist(at[:5], at[5:]).min()) > 0.9
    assert interference.places([]) == {}


def test_units_shared_unevenly_are_counted():
    first = torch.tensor([[2.0, 1.0, 1.0], [0.5, 1.0, 0.0]])[None]  # n u
    second = torch.tensor([[0.5, 2.0], [1.0, 1.0], [1.0, 0.0]])[None]
    networks = Absolutes(first, second, torch.zeros(1, 2))
    share, count = absolute.lopsided(networks)
    assert (share, count) == (0.5, 2)  # the third unit serves one feature
    assert absolute.signs(Absolutes(torch.tensor([[[1.0, -1.0]]]), torch.ones(1, 2, 1), torch.zeros(1, 1))) == 1


# --- the page


def small(steps: int) -> Registry:
    """The first figure, with few steps."""
    made, figure = Registry("figure"), FIGURES.get("introduction")
    quick = replace(figure.quick, steps=steps, copies=2)
    made.add("introduction", replace(figure, quick=quick), summary="small", home=__name__)
    return made


def test_a_page_holds_pictures_and_claims_and_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduced, "FIGURES", small(30))
    (one,) = reproduced.reproduce(tmp_path)
    assert len(one.rows) == 3
    assert one.shrunk == "Smaller than with `--full`: steps 30 for 10,000, copies 2 for 16."
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")
    markdown = (tmp_path / "index.md").read_text(encoding="utf-8")
    assert "(introduction.png)" in markdown
    assert reproduced.counted([one]) in markdown
    assert reproduced.took([one]) in markdown
    assert one.work > 0
    assert "torch on" in reproduced.took([one])
    first = (tmp_path / "introduction.png").stat().st_mtime_ns
    assert reproduced.reproduce(tmp_path) == [one]
    assert (tmp_path / "introduction.png").stat().st_mtime_ns == first
    monkeypatch.setattr(reproduced, "FIGURES", small(31))  # other settings: it is made again
    assert reproduced.reproduce(tmp_path)[0].card["config"]["steps"] == 31
    assert (tmp_path / "introduction.png").stat().st_mtime_ns > first


def test_figures_are_made_beside_one_another():
    assert set(reproduced._each(["a", "b", "c"], str.upper, 2)) == {"A", "B", "C"}
    assert list(reproduced._each(["a", "b"], str.upper, 1)) == ["A", "B"]


def test_what_cannot_be_made_is_refused_before_any_work(tmp_path):
    with pytest.raises(UnknownName, match="no figure is called 'phase'"):
        reproduced.reproduce(tmp_path, ["phase"])
    with pytest.raises(WrongUse, match="write /proc/nowhere"):
        reproduced.reproduce("/proc/nowhere")
