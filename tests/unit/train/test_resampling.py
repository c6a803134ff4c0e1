"""Resampled units point at badly reconstructed inputs, start small, and leave the living alone."""

import pytest
import torch
from torch.nn.functional import normalize

from microtome.train.config import RunConfig
from microtome.train.job import job
from microtome.train.resampling import resample
from microtome.train.schedule import Schedule
from microtome.train.trainee import Trainee
from planted_source import Planted

RUN = RunConfig(tokens=8192, batch=256)


def source() -> Planted:
    return Planted(d=12, features=24, sites=("a", "b"))


@pytest.fixture(params=["sae", "transcoder", "clt"])
def trainee(request) -> Trainee:
    place = {
        "sae": {"site": "a"}, "transcoder": {"reads": "a", "writes": "b"},
        "clt": {"reads": ("a", "b"), "writes": ("a", "b"), "kind": "clt"},
    }[request.param]  # fmt: skip
    one = job(architecture="jumprelu", units=20, dead_after="512 tokens", **place)
    made, data = Trainee(one, Schedule(one.training, RUN), source(), torch.device("cpu")), source()
    made.begin(data.batch(256, ["a", "b"]))
    for step in range(4):
        made.learn(data.batch(256, ["a", "b"]), 256 * step)
    made.since[:3], made.since[3:] = 10_000, 0
    return made


def test_dead_units_begin_anew_and_living_ones_stay(trainee):
    units = next(iter(trainee.dictionary.units))
    before = {name: p.detach().clone() for name, p in units.named_parameters()}
    moments = {name: trainee.optimiser.state[p]["exp_avg"].clone() for name, p in units.named_parameters()}
    living = torch.linalg.vector_norm(units.W_enc[3:], dim=1).mean(), units.norms[3:].mean()
    assert resample(trainee, [source().batch(256, ["a", "b"])], at=1024) == 3
    for name, p in units.named_parameters():
        assert torch.equal(p[3:], before[name][3:])
        assert not torch.equal(p[:3], before[name][:3])
        assert not trainee.optimiser.state[p]["exp_avg"][:3].any()
        assert not trainee.optimiser.state[p]["exp_avg_sq"][:3].any()
        assert torch.equal(trainee.optimiser.state[p]["exp_avg"][3:], moments[name][3:])
    torch.testing.assert_close(torch.linalg.vector_norm(units.W_enc[:3], dim=1), (0.2 * living[0]).expand(3))
    torch.testing.assert_close(units.norms[:3], living[1].expand(3))
    assert not units.b_enc[:3].any()
    torch.testing.assert_close(units.extra("threshold")[:3], torch.full((3,), 0.01))
    assert not trainee.dead.any()


def test_vectors_point_along_a_centred_input(trainee):
    rows = source().batch(256, ["a", "b"])
    resample(trainee, [rows], at=1024)
    units = next(iter(trainee.dictionary.units))
    x, y = trainee.rows(rows)
    centre = trainee.dictionary.b_dec if trainee.dictionary.conventions.centred else x.mean(0)
    reads = normalize(units.read(x - centre), dim=1)
    writes = normalize((y - trainee.dictionary.b_dec)[:, list(units.block.writes)].flatten(1), dim=1)
    alike = normalize(units.W_enc[:3], dim=1) @ reads.T
    along = normalize(units.W_dec[:3], dim=1) @ writes.T
    torch.testing.assert_close(alike.max(1).values, torch.ones(3))
    torch.testing.assert_close(along.max(1).values, torch.ones(3))
    assert torch.equal(alike.argmax(1), along.argmax(1))  # of one and the same token
    assert len(alike.argmax(1).unique()) == 3


def test_inputs_are_drawn_by_the_square_of_their_loss(trainee):
    """One input in 256 is reconstructed 100 times as badly as others: nearly always it is drawn first."""
    rows = {site: values.clone() for site, values in source().batch(256, ["a", "b"]).items()}
    for values in rows.values():
        values[77] = values.mean(0) + 300.0
    trainee.since[1:3] = 0
    resample(trainee, [rows], at=1024)
    units = next(iter(trainee.dictionary.units))
    x, _ = trainee.rows(rows)
    centre = trainee.dictionary.b_dec if trainee.dictionary.conventions.centred else x.mean(0)
    reads = normalize(units.read(x - centre), dim=1)
    assert int((units.W_enc[:1] @ reads.T).argmax()) == 77


def test_nothing_is_drawn_where_nothing_is_dead(trainee):
    trainee.since[:] = 0
    assert resample(trainee, iter(()), at=1024) == 0
