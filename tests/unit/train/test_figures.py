"""Figures of training, held to dense formulas over all rows at once; data have a mean far from zero."""

import math

import pytest
import torch

from microtome.dictionary.architecture import Moment
from microtome.dictionary.architectures.topk import TopK
from microtome.dictionary.geometry import sae, transcoder
from microtome.dictionary.starting import untrained
from microtome.train.tally import Reading, Tally, sums_of

UNITS, D, ROWS = 24, 6, 700


@pytest.fixture
def rows():
    random = torch.Generator().manual_seed(0)
    return 4 + torch.randn(3 * ROWS, 1, D, generator=random)


def tallied(dictionary, x, y, parts=3) -> tuple[Tally, list]:
    found, outcomes = Tally(), []
    moment = Moment(1.0, (torch.zeros(UNITS, dtype=torch.bool),))
    with torch.no_grad():
        for i, (one, other) in enumerate(zip(x.chunk(parts), y.chunk(parts), strict=True)):
            other = one if x is y else other
            outcome = dictionary.architecture.outcome(dictionary, one, other, moment)
            found.add(sums_of(one, other, outcome), torch.tensor(float(i)))
            outcomes.append(outcome)
    return found, outcomes


def test_figures_are_those_of_the_dense_formulas(rows):
    dictionary = untrained(sae("a", D, UNITS), TopK(k=3), seed=0, length=0.5)
    found, outcomes = tallied(dictionary, rows, rows)
    reading = found.read(tokens=99, dead=0.25, rate=1e-3, width=D)
    y, y_hat = rows[:, 0].double(), torch.cat([one.y_hat for one in outcomes])[:, 0].double()
    c, c_hat = y - y.mean(0), y_hat - y.mean(0)
    unexplained = float((y - y_hat).square().sum() / c.square().sum())
    assert reading.variance_explained == pytest.approx(1 - unexplained, rel=1e-5)
    assert reading.scale == pytest.approx(float(c_hat.square().sum() / (c_hat * c).sum()), rel=1e-5)
    assert reading.norm == pytest.approx(float(y.square().sum(1).mean()) / D, rel=1e-6)
    dense = dictionary.encode(rows[:, 0]).dense() > 0
    assert reading.l0 == pytest.approx(float(dense.sum(1).double().mean()))
    assert reading.dense == pytest.approx(float((dense.double().mean(0) > 0.1).double().mean()))
    often = dense.double().mean(0)
    assert reading.crowded == pytest.approx(float(often[often > 0.1].sum() / often.sum()))
    assert reading.densest == pytest.approx(float(dense.double().mean(0).max()))
    steps = [float((one.y_hat - part).square().sum()) / ROWS for one, part in zip(outcomes, rows.chunk(3), strict=True)]
    assert reading.terms["reconstruction"] == pytest.approx(sum(steps) / 3, rel=1e-5)
    assert reading.worst == pytest.approx(max(steps) / sorted(steps)[1], rel=1e-5)
    assert (reading.gradient, reading.tokens, reading.dead, reading.rate) == (1.0, 99, 0.25, 1e-3)
    assert reading.loss == reading.terms["reconstruction"]


def test_a_transcoder_is_measured_on_what_it_writes(rows):
    y = 10 * rows.flip(0) + 1
    dictionary = untrained(transcoder("a", "b", D, D, UNITS), TopK(k=3), seed=0)
    reading = tallied(dictionary, rows, y)[0].read(tokens=1, dead=0.0, rate=0.0, width=D)
    assert reading.norm == pytest.approx(float(rows.square().sum(2).mean()) / D, rel=1e-6)
    assert -1000 < reading.variance_explained < 0  # b_dec is zero, and the mean far from it


def test_writing_the_mean_explains_nothing_and_half_of_everything_is_half_the_size(rows):
    dictionary = untrained(sae("a", D, UNITS), TopK(k=1), seed=0)
    outcome = dictionary.architecture.outcome(dictionary, rows, rows, Moment(1.0, (torch.zeros(UNITS).bool(),)))
    mean = rows.mean(0)
    for share in (0.0, 0.5, 1.0):
        object.__setattr__(outcome, "y_hat", mean + share * (rows - mean))
        found = Tally()
        found.add(sums_of(rows, rows, outcome), torch.tensor(0.0))
        reading = found.read(tokens=1, dead=0.0, rate=0.0, width=D)
        assert reading.variance_explained == pytest.approx(1 - (1 - share) ** 2, abs=1e-5)
        if share:
            assert reading.scale == pytest.approx(share, rel=1e-4)


def test_a_tally_goes_on_from_its_state(rows):
    dictionary = untrained(sae("a", D, UNITS), TopK(k=3), seed=0)
    whole, _ = tallied(dictionary, rows, rows)
    first, _ = tallied(dictionary, rows[:ROWS], rows[:ROWS], parts=1)
    again = Tally()
    again.restore(first.state(), torch.device("cpu"))
    later, _ = tallied(dictionary, rows[ROWS:], rows[ROWS:], parts=2)
    for name, value in later.sums.items():
        again.sums[name] += value
    torch.testing.assert_close(again.sums, whole.sums)
    assert len(again.steps) == 1


def test_nothing_learned_is_not_a_number():
    found = Tally()
    found.skip(torch.full((2, 1, 3), torch.nan))
    found.skip(torch.ones(2, 1, 3))
    reading = found.read(tokens=1, dead=0.0, rate=0.0, width=D)
    assert math.isnan(reading.variance_explained)
    assert (reading.skipped, reading.bad_inputs, reading.loss) == (2, 1, 0)
    assert Reading.from_dict(reading.to_dict()).terms == {}
