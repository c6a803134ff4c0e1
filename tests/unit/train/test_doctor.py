"""Every illness is made for real, and found, with its numbers; a healthy run raises nothing."""

import re
import warnings

import pytest
import torch

from microtome.core.errors import TrainingStopped, UnknownName, WrongUse
from microtome.dictionary.dictionary import Dictionary
from microtome.train import checkpoint, log
from microtome.train.doctor.check import CHECKS
from microtome.train.doctor.checks.too_good import explained_by_components
from microtome.train.doctor.doctor import TrainingWarning
from microtome.train.trainee import Trainee
from microtome.train.training import train
from planted_source import Planted

TOPK = {"k": 3, "aux_k": 16}
RUN = {"tokens": 20_480, "batch": 256, "log_every": "5%", "lr": 5e-3}


def planted(**settings) -> Planted:
    return Planted(**{"d": 16, "features": 64, "active": 2.0, **settings})


def figures(pattern: str, report: str) -> list[float]:
    """The numbers in a report, all of which must match the pattern."""
    found = re.fullmatch(pattern, report)
    assert found is not None, report
    return [float(number) for number in found.groups()]


def seen(source: Planted, **settings) -> tuple[dict[str, str], Dictionary]:
    """Trains, and gives what the doctor said by the name of the check."""
    of_topk = TOPK if "architecture" not in settings else {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TrainingWarning)
        made = train(source, site="resid.0", **{"units": 48, **of_topk, **RUN, **settings})
    assert made.card is not None
    reports = made.card.config["doctor"]
    assert [str(one.message) for one in caught] == [
        f"{one['job']}, after {one['at']:,} tokens: {one['check'].replace('_', ' ')}\n  found: {one['found']}\n"
        + (f"  done:  {one['done']}" if one["done"] else f"  do:    {one['do']}")
        for one in reports
    ]
    return {one["check"]: one["found"] for one in reports}, made


class Changed(Planted):
    """A source whose rows are spoilt by a function of the number of the batch and the rows."""

    spoil = staticmethod(lambda number, rows: rows)
    norms_off = 1.0
    number = -1  # the first is taken to see how large rows are

    @property
    def mean_squared_norms(self):
        return {site: norm * self.norms_off for site, norm in self._norms.items()}

    def batch(self, size, sites):
        self.number += 1
        return {site: self.spoil(self.number, rows) for site, rows in super().batch(size, sites).items()}


def changed(spoil=None, norms_off: float = 1.0) -> Changed:
    made = Changed(d=16, features=64, active=2.0)
    made.norms_off = norms_off
    if spoil is not None:
        made.spoil = spoil
    return made


def test_a_healthy_run_raises_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = train(planted(), site="resid.0", units=48, k=3, aux_k=16, **RUN)
    assert made.card.config["doctor"] == []
    assert made.card.config["final"]["variance_explained"] > 0.6


def test_dead_units():
    found, _ = seen(planted(features=12), units=96, k=2, aux_k=0, lr=2e-2)
    assert "of 96 units have not fired for 2,048 tokens" in found["dead_units"]


def test_dead_units_begin_anew_where_that_is_asked(monkeypatch):
    """Half of the units start so far below zero that nothing brings them back."""
    begin = Trainee.begin

    def badly(self, rows):
        begin(self, rows)
        for units in self.dictionary.units:
            units.b_enc.data[:24] = -100.0

    monkeypatch.setattr(Trainee, "begin", badly)
    ill, before = seen(planted(), aux_k=0)
    found, after = seen(planted(), aux_k=0, doctor={"dead_units": "repair"})
    assert "dead_units" in ill
    assert "dead_units" in found
    assert after.card.config["doctor"][0]["done"] == "24 dead units begin anew from inputs that are reconstructed badly"
    assert before.card.config["final"]["dead"] >= 0.5
    assert after.card.config["final"]["dead"] < 0.1


def test_dense_units():
    found, _ = seen(planted(), architecture="relu", l1=0.01)
    share, densest, taken, l0 = figures(
        r"(.+)% of 48 units fire on over 10% of the tokens, the densest on (.+)%, and take (.+)% of L0 = (.+); what .+",
        found["dense_units"],
    )
    assert 50 < share <= 100  # hardly any penalty: most units fire on most tokens
    assert 50 < densest <= 100
    assert 50 < taken <= 100
    assert 24 < l0 <= 48


def test_shrinkage():
    found, _ = seen(planted(), architecture="relu", l1=1.0)
    scale, explained = figures(
        r"reconstructions have (.+) of the size that would fit best \(.+\), at variance explained (.+); a penalty .+",
        found["shrinkage"],
    )
    assert 0.3 < scale < 0.8
    assert 0.3 < explained < 0.9


def test_a_loss_spike():
    """The learning rate rises all the time, until steps are far too long."""
    found, _ = seen(planted(), lr=20.0, warm_up="80%", clip=None)
    now, times, usual, rate, _, _ = figures(
        r"a squared error of (.+) a token, (.+) times the (.+) before, at learning rate (.+), with gradients of mean "
        r"length (.+); its worst step had (.+) times the median step's error",
        found["loss_spike"],
    )
    assert now / usual == pytest.approx(times, abs=0.06)
    assert times > 2
    assert 0 < rate < 20  # it is still rising


def test_a_loss_spike_halves_the_rate_where_that_is_asked():
    jump = changed(lambda number, rows: rows * (8.0 if number > 40 else 1.0))
    found, made = seen(jump, doctor={"loss_spike": "repair", "normalisation": "off"})
    assert "loss_spike" in found
    done = next(one["done"] for one in made.card.config["doctor"] if one["check"] == "loss_spike")
    assert done == "the learning rate is 0.5 of its schedule from here on"


def poisoned(number, rows):
    if number in (30, 31):
        rows[5] = torch.inf
    return rows


def test_inputs_that_are_not_finite_stop_the_run_with_good_weights(tmp_path):
    with pytest.raises(TrainingStopped, match=r"2 steps .* in 2 of them the inputs were not finite already"):
        train(changed(poisoned), site="resid.0", units=48, k=3, aux_k=16, out=tmp_path, **RUN)
    state = checkpoint.read(tmp_path)
    assert all(torch.isfinite(weight).all() for weight in state["trainees"][0]["weights"].values())
    assert state["step"] == 32
    assert "not finite" in log.read(tmp_path)[-1]["doctor"]
    made = train(
        changed(poisoned), site="resid.0", units=48, k=3, aux_k=16, out=tmp_path, resume=True, **RUN,
        doctor={"not_finite": "off"},
    )  # fmt: skip
    assert made.card.config["final"]["variance_explained"] > 0.5


def test_steps_that_are_not_finite_are_left_out_where_that_is_asked():
    found, made = seen(changed(poisoned), doctor={"not_finite": "repair"})
    assert list(found) == ["not_finite"]
    assert all(torch.isfinite(weight).all() for weight in made.state_dict().values())
    assert made.card.config["doctor"][0]["done"].startswith("2 steps were left out")


def test_weights_that_overflow_are_told_from_bad_inputs():
    with pytest.raises(TrainingStopped, match="their inputs were finite: the weights or the learning rate"):
        train(planted(), site="resid.0", units=48, k=3, aux_k=16, **{**RUN, "lr": 1e25}, clip=None, warm_up="0%")


def test_wrong_normalisation():
    found, _ = seen(changed(norms_off=100.0))
    assert "is 0.0" in found["normalisation"]
    assert "at resid.0, and should be 1" in found["normalisation"]


def test_wrong_normalisation_is_repaired_where_that_is_asked():
    found, made = seen(changed(norms_off=100.0), doctor={"normalisation": "repair"})
    assert list(found) == ["normalisation"]
    right = Planted(d=16, features=64, active=2.0).mean_squared_norms["resid.0"]
    assert made.card.config["scales"]["resid.0"] == pytest.approx((16 / right) ** 0.5, rel=0.05)
    assert made.card.config["final"]["norm"] == pytest.approx(1.0, rel=0.05)


def test_huge_tokens():
    def some_huge(number, rows):
        rows[:: len(rows) // 4] *= 80.0
        return rows

    found, _ = seen(changed(some_huge), doctor=dict.fromkeys(("normalisation", "loss_spike", "dead_units"), "off"))
    assert "1.6% of the tokens at resid.0 have norms over 10 times the median, up to" in found["huge_tokens"]
    assert "own 98.6% of Σ‖x‖²" in found["huge_tokens"]


def test_as_many_active_units_as_dimensions_is_too_good():
    found, _ = seen(planted(), k=16, doctor={"dense_units": "off"})
    assert "as many units are active as there are dimensions (16)" in found["too_good"]


def test_data_of_few_dimensions_are_too_good():
    flat = changed(lambda number, rows: rows * torch.tensor([1.0] * 3 + [0.0] * 13))
    found, _ = seen(flat, k=4, lr=2e-2)
    assert "the data lie near 4 of 16 dimensions" in found["too_good"]


def test_components_explain_what_they_should():
    random = torch.Generator().manual_seed(0)
    y = 9 + torch.randn(20_000, 4, generator=random) * torch.tensor([4.0, 2.0, 1.0, 0.0])
    assert explained_by_components(y, 1) == pytest.approx(16 / 21, abs=0.01)
    assert explained_by_components(y, 2) == pytest.approx(20 / 21, abs=0.01)
    assert explained_by_components(y, 9) == pytest.approx(1.0)
    assert explained_by_components(y[:3], 2) == pytest.approx(1.0)  # three rows lie in a plane


def test_spans_that_outlast_the_run():
    found, _ = seen(planted(), ramp="1M tokens", dead_after="10M tokens", warm_up="90%")
    assert "ramp = '1M tokens' (1,000,000 tokens)" in found["spans"]
    assert "dead_after = '10M tokens'" in found["spans"]
    assert "warm_up = '90%' with decay = '20%'" in found["spans"]
    assert "in a run of 20,480 tokens, 80 steps" in found["spans"]


def test_any_illness_can_stop_a_run_before_it_costs_anything():
    with pytest.raises(TrainingStopped, match=r"go on with doctor=\{'spans': 'warn'\}"):
        train(planted(), site="resid.0", units=48, dead_after="10M tokens", doctor={"spans": "stop"}, **RUN)


def test_what_is_off_is_not_looked_for():
    assert seen(planted(), dead_after="10M tokens", doctor={"spans": "off"})[0] == {}


@pytest.mark.parametrize("wrong", [{"huge_tokens": "repair"}, {"spans": "shout"}])
def test_what_cannot_be_done_is_refused(wrong):
    with pytest.raises(WrongUse, match="'repair' is known of dead_units, loss_spike, normalisation, not_finite"):
        train(planted(), site="resid.0", doctor=wrong, **RUN)


def test_an_unknown_check_names_the_nearest():
    with pytest.raises(UnknownName, match="'dead_unit'; the closest are 'dead_units'"):
        train(planted(), site="resid.0", doctor={"dead_unit": "stop"}, **RUN)


def test_every_check_is_tested_here():
    tested = {"dead_units", "dense_units", "shrinkage", "loss_spike", "not_finite", "normalisation", "huge_tokens"}
    assert {entry.name for entry in CHECKS} == tested | {"too_good", "spans"}
    assert all(entry.value.name == entry.name for entry in CHECKS)
